"""Listening on both families of addresses, on one, or on none."""

from __future__ import annotations

import socket

import pytest

from init_sync.shell.listen import CannotListen, any_address, listen, url

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


def reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@needs_ipv6
def test_without_a_host_both_families_are_answered_on_one_port() -> None:
    with listen(0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert (reaches("127.0.0.1", port), reaches("::1", port)) == (True, True)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_host_that_is_named_is_the_only_one(host: str) -> None:
    with listen(0, host) as listener:
        port = listener.getsockname()[1]
        assert [each for each in ("127.0.0.1", "::1") if reaches(each, port)] == [host]


def test_a_machine_without_ipv6_has_the_addresses_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    assert any_address() == "0.0.0.0"
    with listen(0) as listener:
        assert listener.family is socket.AF_INET
        assert reaches("127.0.0.1", listener.getsockname()[1])


def test_a_port_that_is_taken_is_said_with_the_cure() -> None:
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as refused:
            listen(port)
    assert (
        str(refused.value)
        == f"listening on port {port}: Address already in use. Choose another, or port 0 for a free one"
    )


def test_an_address_that_is_not_ours_is_said_with_the_host() -> None:
    with pytest.raises(CannotListen, match=r"^listening on 192\.0\.2\.1:8000: Cannot assign requested address\."):
        listen(8000, "192.0.2.1")


@pytest.mark.parametrize(
    ("host", "text"), [("127.0.0.1", "http://127.0.0.1:"), pytest.param("::1", "http://[::1]:", marks=needs_ipv6)]
)
def test_the_url_has_ipv6_in_brackets(host: str, text: str) -> None:
    with listen(0, host) as listener:
        assert url(listener) == f"{text}{listener.getsockname()[1]}"
