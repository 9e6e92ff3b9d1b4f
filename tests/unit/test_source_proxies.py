"""Sources behind a proxy."""

from __future__ import annotations

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.hub.retry import Transient
from init_sync.hub.transport import Connections
from support.proxy import Proxy
from support.scripted_server import ScriptedServer, answer


def test_https_goes_through_a_proxy_as_a_tunnel(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{proxy.address}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(Transient, match="502"):
            connections.get("https://hub.invalid/file", {})

    assert [line.rpartition(" ")[0] for line in proxy.requests] == ["CONNECT hub.invalid:443"]
    assert "Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.heads[0]


@pytest.mark.parametrize(
    ("answered", "error", "words"),
    [
        ("407 Proxy Authentication Required", NeedsChange, "asks for a user and password"),
        ("403 Forbidden", NeedsChange, "answered 403. Ask those who run it to allow this host"),
        ("503 Service Unavailable", Transient, "answered 503"),
    ],
)
def test_a_proxy_that_does_not_connect_is_named_with_what_to_do(
    answered: str, error: type[Exception], words: str, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer([answer(answered)]) as proxy:
        address = proxy.address
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{proxy.address}")
        with pytest.raises(error, match=words) as caught:
            connections.get("https://[fd00::1]/file", {})

    assert f"connecting to [fd00::1]:443: the proxy {address} (HTTPS_PROXY)" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert proxy.heads[0].startswith("CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\n")


def test_a_proxy_that_is_away_is_named(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")

    with pytest.raises(Transient, match=r"hub.test:80 by the proxy 127.0.0.1:9 \(HTTP_PROXY\)") as caught:
        connections.get("http://hub.test/file", {})
    assert "secret" not in caught.value.message
