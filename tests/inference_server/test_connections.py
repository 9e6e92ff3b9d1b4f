"""Clients that are slow on purpose, and many of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from inference.server import connections
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, config_for, running
from support.waiting import eventually

SHORT_S = 0.2
LONG_S = 3600.0


@pytest.fixture(params=["127.0.0.1", "::1"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """On both address families."""
    with running(config_for(tmp_path, host=request.param), DrawingEngine()) as started:
        yield started


def connect(server: RunningServer, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection((server.http.base_url.host, server.http.base_url.port or 0), timeout=10)
    connection.sendall(sent)
    return connection


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nbody",
    ],
    ids=["nothing", "a letter", "half a head", "a request and half a head", "a request without its whole body"],
)
def test_a_client_that_does_not_finish_its_head_is_left(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", SHORT_S)
    with connect(server, sent) as slow:
        assert ended(slow)


@pytest.mark.parametrize("end", [None, "", "Content-Length: 9999\r\n"], ids=["at once", "after an answer", "in a body"])
def test_a_client_that_goes_on_letter_by_letter_is_left_as_well(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, end: str | None
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", SHORT_S)
    first = b"" if end is None else f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{end}\r\n".encode()
    with connect(server, first) as slow:
        if first:
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: not goes_on(slow), "the server closes the connection")


def test_a_client_may_take_its_time_between_requests_and_for_a_body(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", SHORT_S)
    head = b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with connect(server, head + b"Content-Length: 99\r\n\r\n") as slow:
        slow.settimeout(3 * SHORT_S)
        with pytest.raises(TimeoutError):
            slow.recv(1)


def test_a_client_that_does_not_read_its_answers_is_left(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_S", SHORT_S)
    with connect(server) as deaf:
        deaf.setblocking(False)
        ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
        eventually(lambda: not goes_on(deaf, ask), "the server closes the connection")


def test_many_connections_that_wait_do_not_keep_others_out(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 20)
    monkeypatch.setattr(connections, "HEAD_S", LONG_S)
    with ExitStack() as flood:
        opened = [flood.enter_context(connect(server, b"GET / HTTP/1.1\r\nX: ")) for _ in range(60)]
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert ended(opened[0])
        eventually(lambda: sum(map(open_still, opened)), "no more than the number are open", wanted=lambda n: n <= 20)


def test_a_request_that_is_being_answered_does_not_make_room(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with connect(server, head + b"Content-Length: 9\r\n\r\n") as upload, ExitStack() as flood:
        eventually(lambda: server.service.queue.counts().reserved, "the upload has begun")
        monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)
        for _ in range(20):
            flood.enter_context(connect(server))
        upload.sendall(b"--b--\r\n\r\n")
        assert upload.recv(65_536).startswith(b"HTTP/1.1 400 ")


def ended(connection: socket.socket) -> bool:
    """Read until the server closes; a timeout is an error."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return True


def goes_on(connection: socket.socket, data: bytes = b"x") -> bool:
    try:
        connection.send(data)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def open_still(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
