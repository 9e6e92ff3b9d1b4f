"""What a redirect may do: where it leads, whom the token may be sent, and which addresses are out of reach."""

from __future__ import annotations

import socket

import pytest

from init_sync.hub.reach import Forbidden, check_redirect, place
from init_sync.hub.redirects import may_have_token, redirect_problem, redirected


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://cdn.test/a", "https://cdn.test/a"),
        ("//cdn.test/a", "https://cdn.test/a"),
        ("/a?b=c%2Fd&e=+", "https://hub.test:1/a?b=c%2Fd&e=+"),
        ("?b", "https://hub.test:1/x/y?b"),
        ("z", "https://hub.test:1/x/z"),
        ("https://m\xc3\xbcnchen.test/", "https://xn--mnchen-3ya.test/"),
        ("https://[fd00::1]/a", "https://[fd00::1]/a"),
    ],
)
def test_a_location_is_read_as_browsers_read_it(location: str, target: str) -> None:
    assert redirected("https://hub.test:1/x/y", location) == target


@pytest.mark.parametrize("location", ["http://h:99999/", "http://h:x/", "http://[::1", "http://1.2.3.999/", "/a\x01b"])
def test_what_is_no_address_is_an_error(location: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        redirected("https://hub.test/", location)


@pytest.mark.parametrize(
    ("url", "target", "problem"),
    [
        ("http://hub.test/", "https://cdn.test/", None),
        ("http://hub.test/", "http://cdn.test/", None),
        ("https://hub.test/", "http://cdn.test/", "leads from https to http, at cdn.test:80"),
        ("https://hub.test/", "http://hub.test/", "leads from https to http, at hub.test:80"),
        ("http://hub.test/", "file:///etc/passwd", "leads to a file: address, and only http and https are followed"),
        ("http://hub.test/", "gopher://cdn.test/", "leads to a gopher: address, and only http and https are followed"),
        ("http://hub.test/", "http:///path", "leads to a http: address, and only http and https are followed"),
    ],
)
def test_only_http_and_https_are_followed_and_never_back_to_http(url: str, target: str, problem: str | None) -> None:
    assert redirect_problem(url, target) == problem


@pytest.mark.parametrize(
    ("named", "target", "allowed"),
    [
        ("https://hub.test/a", "https://hub.test:443/b", True),
        ("http://hub.test/a", "https://hub.test/a", True),
        ("http://hub.test:8080/a", "https://HUB.test:8443/a", True),
        ("https://hub.test/a", "http://hub.test/a", False),
        ("http://hub.test/a", "http://hub.test:8080/a", False),
        ("https://hub.test/a", "https://hub.test:8443/a", False),
        ("http://hub.test/a", "https://cdn.hub.test/a", False),
        ("http://hub.test/a", "https://hub.test.evil.test/a", False),
        ("http://hub.test/a", "https://hub.test@evil.test/a", False),
    ],
)
def test_the_token_goes_to_the_server_that_was_named_and_its_own_https_only(
    named: str, target: str, allowed: bool
) -> None:
    assert may_have_token(named, target) is allowed


PLACES = {
    "a cloud's metadata service": (
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
        *("::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe"),
        *("2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:5601:5601", "::ffff:0:169.254.169.254"),
    ),
    "a link-local address": ("169.254.0.1", "169.254.170.2", "fe80::1", "fe80::1%eth0", "::ffff:169.254.170.2"),
    "this machine itself": ("127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "::1", "::", "::ffff:127.0.0.1"),
    "a multicast address": ("224.0.0.1", "ff02::1"),
}


@pytest.mark.parametrize(("address", "kind"), [(each, kind) for kind, all_ in PLACES.items() for each in all_])
def test_places_out_of_reach_are_known_in_every_notation(address: str, kind: str) -> None:
    assert place(address) == kind


@pytest.mark.parametrize("address", ["10.96.0.1", "192.168.1.1", "1.1.1.1", "fd00::10", "2606:4700::1", "100.64.0.1"])
def test_private_and_public_addresses_are_in_reach(address: str) -> None:
    assert place(address) is None


@pytest.mark.parametrize(
    ("address", "endpoint", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", True),
        ("::1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("169.254.20.10", "169.254.20.10", True),
        ("169.254.169.254", "169.254.20.10", False),
        ("169.254.169.254", "127.0.0.1", False),
        ("10.0.0.2", "127.0.0.1", True),
        ("127.0.0.1", "no such host", False),
    ],
)
def test_a_redirect_may_lead_to_where_the_endpoint_is(address: str, endpoint: str, allowed: bool) -> None:
    if allowed:
        check_redirect(address, endpoint)
    else:
        with pytest.raises(Forbidden, match=address):
            check_redirect(address, endpoint)


def test_a_name_hides_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    from init_sync.hub.dial import Destination, dial
    from init_sync.hub.origin import origin
    from init_sync.hub.watchdog import Watchdog

    def resolve(host: str, *_: object, **__: object) -> list[object]:
        found = {"hub.test": "203.0.113.1", "rebound.test": "169.254.169.254"}[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    destination = Destination(origin("http://rebound.test/"), None, origin("http://hub.test/"))
    with pytest.raises(Forbidden, match=r"169\.254\.169\.254, a cloud's metadata service"):
        dial(destination, 1.0, Watchdog())
