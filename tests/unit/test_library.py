"""The library's HTTP client: what it asks for goes out by the same connections as files do."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx2
import pytest

from init_sync.core.errors import NeedsChange
from init_sync.hub.library import client
from init_sync.hub.retry import Transient
from support.hub import LocalHub
from support.scripted_server import ScriptedServer, answer

TOKEN = {"Authorization": "Bearer hf_x", "Accept-Encoding": "gzip"}


@pytest.fixture
def library() -> Iterator[httpx2.Client]:
    with client(2.0) as opened:
        yield opened


def test_a_response_arrives_with_its_headers_and_body(library: httpx2.Client) -> None:
    said = answer("200 OK", b'{"a": 1}', Content_Type="application/json", X_Said="gr\u00f6\u00dfe")
    with ScriptedServer([said.decode("latin-1").encode("latin-1")]) as server:
        response = library.get(f"{server.url}/api?x=%2F", headers=TOKEN)

    assert (response.status_code, response.json(), response.headers["X-Said"]) == (200, {"a": 1}, "gr\u00f6\u00dfe")
    assert server.heads[0].startswith("GET /api?x=%2F HTTP/1.1\r\n")
    assert "hf_x" in server.heads[0]


def test_a_body_longer_than_a_piece_arrives_whole(library: httpx2.Client) -> None:
    body = bytes(range(256)) * 1000
    with ScriptedServer([answer("200 OK", body)]) as server:
        assert library.get(server.url).content == body


def test_redirects_are_followed_without_the_token(library: httpx2.Client) -> None:
    with (
        ScriptedServer([answer("200 OK", b"here")]) as elsewhere,
        ScriptedServer([answer("302 Found", Location=f"{elsewhere.url}/x")]) as server,
    ):
        assert library.get(server.url, headers=TOKEN).content == b"here"

    assert "hf_x" in server.heads[0]
    assert "hf_x" not in elsewhere.heads[0]


def test_a_head_request_shows_the_redirect_itself(library: httpx2.Client) -> None:
    with ScriptedServer([answer("302 Found", Location="/x", X_Repo_Commit="abc")]) as server:
        response = library.head(server.url)

    assert (response.status_code, response.headers["X-Repo-Commit"]) == (302, "abc")
    assert server.heads[0].startswith("HEAD / HTTP/1.1\r\n")


def test_a_redirect_to_where_none_may_lead_is_refused(library: httpx2.Client) -> None:
    moved = answer("302 Found", Location="http://169.254.169.254/latest")
    with ScriptedServer([moved]) as server, pytest.raises(NeedsChange, match="a cloud's metadata service"):
        library.get(server.url)


def test_a_body_that_breaks_off_is_worth_another_try(library: httpx2.Client) -> None:
    half = answer("200 OK", b"half", Content_Length="8")
    with ScriptedServer([half]) as server, pytest.raises(Transient, match="the connection ended early"):
        library.get(server.url)


def test_a_server_that_is_away_is_told_in_our_words(library: httpx2.Client) -> None:
    with pytest.raises(Transient, match=r"no connection to 127\.0\.0\.1:9 \(Connection refused\)"):
        library.get("http://127.0.0.1:9/")


def test_one_connection_serves_one_request_after_another(
    library: httpx2.Client, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert library.get(f"{hub.endpoint}/api/models/owner/nowhere").status_code == 401
    monkeypatch.delattr(socket, "create_connection")

    assert library.get(f"{hub.endpoint}/api/models/owner/nowhere").status_code == 401


def test_something_to_send_is_sent(library: httpx2.Client) -> None:
    with ScriptedServer([answer("200 OK")]) as server:
        library.post(server.url, content=b"question")

    assert server.heads[0].startswith("POST / HTTP/1.1\r\n")
    assert "Content-Length: 8\r\n" in server.heads[0]
