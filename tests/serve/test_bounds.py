"""What a client may take: heads, bodies, time, connections. Whatever it sends, others are answered."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from init_sync.serve import connection, server
from init_sync.serve.request import MAX_BODY_BYTES, MAX_FIELDS, MAX_HEAD_BYTES
from serve.conftest import NESTED
from support.peer import Peer, peer, read_all
from support.waiting import eventually

GET = b"GET /owner/base/resolve/main/config.json HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/models/owner/base/paths-info/main HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSED: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a method in small letters": (b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "two spaces": (b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "NUL in the address": (b"GET /health\0z HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an address that is not UTF-8": (b"GET /a/b/resolve/main/%c0%ae%c0%ae HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "a host that ends its header": (b"GET /healthz HTTP/1.1\r\nHost: x>;y\r\n\r\n", 400),
    "a folded field": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a space before the colon": (GET + b"Content-Length : 3\r\n\r\n", 400),
    "a bare line feed": (GET + b"X: a\nContent-Length: 3\r\n\r\n", 400),
    "a bare carriage return": (GET + b"X: a\rb\r\n\r\n", 400),
    "NUL in a field": (GET + b"X: \0\r\n\r\n", 400),
    "too many fields": (GET + b"a: b\r\n" * MAX_FIELDS + b"\r\n", 431),
    "a head without end": (GET + b"X: " + b"a" * MAX_HEAD_BYTES, 431),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a length with a sign": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "a list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "chunks": (POST + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "length and chunks": (POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "chunks and length": (POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "chunks by another name": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "a body of a GET": (GET + b"Content-Length: 5\r\n\r\nhello", 413),
    "a large body": (POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1) + b"a" * MAX_BODY_BYTES, 413),
    "a body that waits to be asked for": (POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", 417),
    "a body that is no list": (POST + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", 400),
    "a body of brackets": (POST + b"Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n" + b"[" * 9000, 400),
    "a cursor that is no number": (b"GET /api/models/owner/base/tree/main?cursor=-1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a query of many fields": (b"GET /api/models/owner/base?" + b"a=1&" * 99 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
}


def statuses(received: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", received)]


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_request_is_refused_and_its_connection_closed(data: bytes, status: int, served: Peer) -> None:
    with served.connect() as client:
        client.sendall(data + GET + b"\r\n")  # what follows must not be taken for a request
        received = read_all(client)
    assert statuses(received) == [status]
    assert b"Connection: close" in received
    counted = ("modelcache_serve_requests_total", str(status), "other")
    eventually(lambda: served.samples().get(counted) == 1, "the refusal is counted")


def test_requests_in_one_go_are_answered_in_their_order(served: Peer) -> None:
    received = served.exchange(GET + b"\r\n" + GET.replace(b"config", b"nothing") + b"\r\n" + GET + b"\r\n")
    assert statuses(received) == [200, 404, 200]


def test_a_connection_is_kept_unless_the_client_says_otherwise(served: Peer) -> None:
    for head, kept in (
        (GET + b"\r\n", True),
        (GET + b"Connection: Close\r\n\r\n", False),
        (b"GET /healthz HTTP/1.0\r\n\r\n", False),
    ):
        received = served.exchange(head * 2)
        assert statuses(received) == [200] * (1 + kept)


def test_an_address_with_its_host_is_understood(served: Peer) -> None:
    assert statuses(served.exchange(b"GET http://x:1/healthz HTTP/1.1\r\nHost: y\r\n\r\n")) == [200]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, whole: Path) -> Iterator[Peer]:
    """A server with little time and few places."""
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    monkeypatch.setattr(connection, "PROGRESS_S", 0.3)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    with peer(whole) as served:
        yield served


@pytest.mark.parametrize(
    "sent", [b"", GET, POST + b"Content-Length: 9\r\n\r\npaths=", GET + b"\r\n"], ids=["no", "half", "body", "idle"]
)
def test_a_client_that_sends_nothing_more_is_left(sent: bytes, hasty: Peer) -> None:
    with hasty.connect() as client:
        client.sendall(sent)
        assert statuses(read_all(client)) == [200] * sent.endswith(b"\r\n\r\n")


def test_a_client_that_reads_too_little_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PROGRESS_S", 0.3)
    pause = threading.Event()
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 10)  # so that there is room again and again
    slow = connection.Connection(ours)

    def read() -> None:
        while theirs.recv(1024):
            pause.wait(0.01)

    with ours, theirs:
        reader = threading.Thread(target=read)
        reader.start()
        slow.start_response()
        with pytest.raises(connection.TooSlow):
            slow.send(b"\0" * (4 << 20))
        ours.shutdown(socket.SHUT_RDWR)
        pause.set()
        reader.join()


def test_a_client_that_is_still_sending_can_read_why_it_is_refused(served: Peer) -> None:
    path = "/api/models/owner/base/paths-info/main"
    assert served.ask(path, "POST", b"a" * (8 << 20)).status == 413


def test_a_head_that_drips_has_the_same_time(hasty: Peer) -> None:
    with hasty.connect() as client:
        client.settimeout(0.05)
        for _ in range(200):
            try:
                client.sendall(b"G")
                assert client.recv(1) == b""
                return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        pytest.fail("it is still there")


def test_a_client_that_does_not_read_is_cut(hasty: Peer, whole: Path) -> None:
    many = b"GET /owner/nested/resolve/main/unet/weights.safetensors HTTP/1.1\r\nHost: x\r\n\r\n" * 40
    with hasty.connect(receive_bytes=64 << 10) as client:
        client.sendall(many)
        cut = ("modelcache_serve_cut_responses_total", "slow")
        eventually(lambda: hasty.samples()[cut] == 1, "the server gives it up")
        received = read_all(client)
    assert len(received) < 40 * len(NESTED["unet/weights.safetensors"])


def test_the_connection_that_has_been_idle_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    with peer(whole) as served, ExitStack() as stack:
        idle = [stack.enter_context(served.connect()) for _ in range(4)]
        assert served.ask("/healthz").status == 200
        assert idle[0].recv(1) == b""
        idle[3].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"ok\n" in idle[3].recv(1000)


def test_where_all_are_busy_the_next_one_is_asked_to_come_again(monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    many = b"GET /owner/nested/resolve/main/unet/weights.safetensors HTTP/1.1\r\nHost: x\r\n\r\n" * 40
    with peer(whole) as served, ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(served.connect(receive_bytes=64 << 10))
            client.sendall(many)
            assert client.recv(12) == b"HTTP/1.1 200"

        def refused() -> bool:
            with served.connect() as third:
                return statuses(read_all(third)) == [503]

        eventually(refused, "both places are taken by answers")


def test_a_client_that_leaves_early_costs_no_place(served: Peer) -> None:
    for _ in range(50):
        with served.connect() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, connection.NO_LINGER)
            client.sendall(GET + b"\r\n")
    eventually(lambda: served.samples()["modelcache_serve_connections",] == 1, "only the one that asks is there")
