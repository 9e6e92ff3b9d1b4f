"""Which way a request goes: proxies by the scheme of the target, and what NO_PROXY asks directly."""

from __future__ import annotations

import pytest

from init_sync.hub.origin import origin
from init_sync.hub.routes import read_proxy, read_routes

PROXY = "http://proxy.test:3128"
DIRECTLY = {
    "*": ("http://a.test/", "https://[::1]/"),
    "x.test, *": ("http://a.test/",),
    "a.test": ("http://a.test/", "https://b.a.test:8080/", "http://A.TEST./"),
    " x.test , a.test ": ("http://a.test/",),
    ".a.test": ("http://b.a.test/",),
    "*.a.test": ("http://b.a.test/",),
    "a.test:80": ("http://a.test/", "http://a.test:80/", "http://b.a.test/"),
    "a.test:443": ("https://a.test/",),
    "http://a.test": ("http://a.test/",),
    "all://a.test": ("https://a.test/",),
    ".svc,.cluster.local": ("http://mirror.models.svc:8080/", "http://mirror.models.svc.cluster.local/"),
    "127.0.0.1": ("http://127.0.0.1:8080/",),
    "10.0.0.0/8": ("http://10.1.2.3/",),
    "10.1.2.3/8": ("http://10.255.0.1/",),
    "10.0.0.0/8:8080": ("http://10.1.2.3:8080/",),
    "::1": ("http://[::1]/",),
    "[::1]": ("http://[::1]:8080/",),
    "[::1]:8080": ("http://[::1]:8080/",),
    "fd00::/8": ("http://[fd12::3]/",),
    "[fd00::]/8": ("http://[fd12::3]/",),
    "[::1],127.0.0.1": ("http://127.0.0.1/",),
    "localhost": ("http://localhost:1/",),
}
BY_PROXY = {
    "": ("http://a.test/",),
    ",,": ("http://a.test/",),
    "a.test": ("http://ba.test/", "http://a.test.b/"),
    ".a.test": ("http://a.test/",),
    "*.a.test": ("http://a.test/",),
    "a.test:80": ("http://a.test:8080/", "https://a.test/"),
    "http://a.test": ("https://a.test/",),
    "10.0.0.0/8": ("http://11.0.0.1/", "http://ten.test/", "http://[::ffff:a01:203]/"),
    "10.0.0.0/33": ("http://10.0.0.1/",),
    "10.0.0.0/8:8080": ("http://10.1.2.3/",),
    "::1": ("http://127.0.0.1/",),
    "[::1]:8080": ("http://[::1]/",),
    "a.test/8": ("http://a.test/",),
    "a.*.test": ("http://a.b.test/",),
    "[": ("http://a.test/",),
    "*.": ("http://a.test/",),
}


@pytest.mark.parametrize(("value", "url"), [(value, url) for value, urls in DIRECTLY.items() for url in urls])
def test_what_no_proxy_covers_is_asked_directly(value: str, url: str) -> None:
    assert read_routes({"all": PROXY, "no": value}).proxy_for(origin(url)) is None


@pytest.mark.parametrize(("value", "url"), [(value, url) for value, urls in BY_PROXY.items() for url in urls])
def test_what_no_proxy_does_not_cover_goes_by_the_proxy(value: str, url: str) -> None:
    assert read_routes({"all": PROXY, "no": value}).proxy_for(origin(url)) is not None


def test_the_scheme_of_the_target_chooses_the_proxy() -> None:
    routes = read_routes({"http": "one.test:1", "https": "http://two.test:2"})

    assert str(routes.proxy_for(origin("http://a.test/"))) == "the proxy one.test:1 (HTTP_PROXY)"
    assert str(routes.proxy_for(origin("https://a.test/"))) == "the proxy two.test:2 (HTTPS_PROXY)"
    assert read_routes({"http": "one.test:1"}).proxy_for(origin("https://a.test/")) is None


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("http://proxy.test", ("proxy.test", 80)),
        ("proxy.test:3128", ("proxy.test", 3128)),
        ("HTTP://proxy.test:3128/", ("proxy.test", 3128)),
        ("http://me:p%40ss%23@[fd00::1]:3128", ("fd00::1", 3128)),
    ],
)
def test_a_proxy_is_read_in_the_usual_forms(value: str, place: tuple[str, int]) -> None:
    proxy = read_proxy(value, "HTTP_PROXY")
    assert (proxy.host, proxy.port) == place


def test_a_password_is_sent_and_never_shown() -> None:
    proxy = read_proxy("http://me:p%40ss@proxy.test:3128", "HTTP_PROXY")

    assert proxy.authorization == "Basic bWU6cEBzcw=="
    assert str(proxy) == "the proxy proxy.test:3128 (HTTP_PROXY)"
    assert "bWU6" not in repr(proxy)


def test_a_single_word_is_not_shown_because_it_may_be_a_secret_in_the_wrong_variable() -> None:
    assert str(read_proxy("hunter2", "HTTPS_PROXY")) == "the proxy that HTTPS_PROXY names"
