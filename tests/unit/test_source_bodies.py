"""Bodies that are something else than the file, compressed, cut off or without an end."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
from pathlib import Path

import pytest

from init_sync.core.reasons import Reason
from init_sync.hub.retry import Transient
from init_sync.hub.source import Source
from init_sync.hub.transport import ConnectionBroken, Connections
from init_sync.hub.watchdog import Watchdog
from support.hub import Fault, LocalHub, RepoBuilder
from support.scripted_server import ScriptedServer, answer
from unit.fetching import DATA, SIZE, TOKEN, fetch


def test_a_body_that_ends_early_tells_how_many_bytes_are_good(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    hub.add_fault(Fault("drop_rst", match=("blob",), after_bytes=SIZE // 2, times=1))
    buffer = bytearray(SIZE)
    found = source.open(connections, 0, SIZE)

    with pytest.raises(ConnectionBroken) as caught:
        found.read_into(memoryview(buffer))

    # The client's buffer may hold a few KiB that a reset makes unreadable.
    good = caught.value.filled
    assert SIZE // 2 - 16_384 <= good <= SIZE // 2
    assert buffer[:good] == DATA[:good]


PAGE = b"<!DOCTYPE html><title>blocked</title>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"


@pytest.mark.parametrize(
    ("said", "asked", "words"),
    [
        (answer("200 OK", POINTER), (0, 90), "56 bytes offered, 90 were listed .*begins like a git-lfs pointer"),
        (
            answer("200 OK", PAGE, Content_Type="text/html"),
            (0, 90),
            r"37 bytes offered, 90 were listed \(text/html, begins like an HTML page\)",
        ),
        (answer("200 OK", PAGE), (10, 20), "37 bytes offered, 90 were listed"),
        (
            answer("206 Partial Content", PAGE, Content_Range="bytes 0-36/37"),
            (0, 40),
            "got bytes 0-36/37 .*an HTML page",
        ),
        (answer("416 Range Not Satisfiable", Content_Range="bytes */37"), (40, 50), "37 bytes there, 90 were listed"),
        (answer("416 Range Not Satisfiable"), (40, 50), "shorter there .*, 90 were listed"),
    ],
    ids=["pointer", "page", "page for a range", "range of a page", "range beyond a page", "range beyond it"],
)
def test_something_else_in_place_of_the_file_is_told_at_once_by_size_and_kind(
    said: bytes, asked: tuple[int, int], words: str, connections: Connections
) -> None:
    with ScriptedServer([said]) as server, pytest.raises(Transient, match=words) as caught:
        Source(f"{server.url}/file", {}, 90, "it").open(connections, *asked)

    assert caught.value.reason is Reason.SIZE_MISMATCH


def test_something_else_costs_no_connection(
    connections: Connections, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = RepoBuilder(tmp_path / "hub", "owner/tiny").commit({"page.txt": PAGE})
    url = f"{hub.endpoint}/owner/tiny/resolve/{commit}/page.txt"
    with pytest.raises(Transient, match="37 bytes offered"):
        Source(url, {}, 90, "it").open(connections, 0, 90)
    monkeypatch.delattr(socket, "create_connection")

    assert fetch(Source(url, {}, len(PAGE), "it"), connections, 0, len(PAGE)) == PAGE


def test_the_body_ends_where_its_length_says_on_a_connection_that_stays_open(connections: Connections) -> None:
    part = answer("206 Partial Content", b"ab", Connection="keep-alive", Content_Range="bytes 0-1/4")
    with ScriptedServer([[part, b""]], pause_s=30.0) as server:
        found = Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 3)

        assert found.read_into(memoryview(bytearray(3))) == 2


def test_a_range_that_is_longer_than_asked_leaves_nothing_on_the_connection(connections: Connections) -> None:
    longer = answer("206 Partial Content", b"abcd", Connection="keep-alive", Content_Range="bytes 0-3/4")
    with ScriptedServer([longer]) as server:
        source = Source(f"{server.url}/file", {}, 4, "it")

        assert [fetch(source, connections, 0, 2) for _ in range(2)] == [b"ab", b"ab"]


def chunked(body: bytes, **headers: str) -> bytes:
    head = answer("200 OK", b"", Content_Length="", Transfer_Encoding="chunked", **headers)
    return head.replace(b"Content-Length: \r\n", b"") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


PACKED = gzip.compress(DATA[:4096])


@pytest.mark.parametrize(
    "said",
    [answer("200 OK", PACKED, Content_Encoding="gzip"), chunked(PACKED, Content_Encoding="x-gzip")],
    ids=["length", "chunked"],
)
def test_what_comes_compressed_though_identity_was_asked_is_unpacked(said: bytes, connections: Connections) -> None:
    with ScriptedServer([said]) as server:
        found = Source(f"{server.url}/file", {}, 4096, "it").open(connections, 0, 4096)
        buffer = bytearray(4096)
        counts = [found.read_into(memoryview(buffer)[start : start + 1000]) for start in range(0, 4096, 1000)]
        found.done()

    assert (bytes(buffer), counts) == (DATA[:4096], [1000, 1000, 1000, 1000, 96])


def test_a_gzip_bomb_takes_no_more_than_the_buffer_at_a_time(connections: Connections) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    with ScriptedServer([answer("200 OK", bomb, Content_Encoding="gzip")]) as server:
        found = Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)
        tracemalloc.start()
        found.read_into(memoryview(bytearray(4)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 1 << 20


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer("200 OK", PACKED[:50], Content_Encoding="gzip"), r"\d+ bytes came, 4096 were listed"),
        (answer("200 OK", gzip.compress(b"{}"), Content_Encoding="gzip"), "2 bytes came, 4096 were listed"),
        (answer("200 OK", b"not gzip", Content_Encoding="gzip"), "gzip in the answer is damaged"),
        (chunked(PAGE, Content_Type="text/html"), r"37 bytes came, 4096 were listed \(text/html\)"),
    ],
    ids=["cut", "short", "not gzip", "chunked page"],
)
def test_a_body_that_ends_in_good_order_and_too_early_is_told_as_such(
    said: bytes, words: str, connections: Connections
) -> None:
    with ScriptedServer([said]) as server:
        found = Source(f"{server.url}/file", {}, 4096, "it").open(connections, 0, 4096)
        with pytest.raises(ConnectionBroken, match=words):
            found.read_into(memoryview(bytearray(4096)))


@pytest.mark.parametrize(
    "said",
    [
        answer("200 OK", b"abcd", Content_Encoding="br"),
        answer("206 Partial Content", b"abcd", Content_Range="bytes 0-3/4", Content_Encoding="gzip"),
    ],
    ids=["brotli", "a range of gzip"],
)
def test_another_compression_is_named(said: bytes, connections: Connections) -> None:
    with ScriptedServer([said]) as server, pytest.raises(Transient, match=r"compressed \(Content-Encoding: (br|gzip)"):
        Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4 if b"200 OK" in said else 2)


ENDLESS = {
    "trailers": (b"2\r\nok\r\n0\r\n", b"X: a\r\n"),
    "an extension of a chunk": (b"2", b";a=b"),
    "chunks of a byte": (b"", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("field", [b"", b"Connection: close\r\n"], ids=["", "closes"])
@pytest.mark.parametrize("what", ENDLESS)
def test_the_framing_of_a_body_may_not_go_on_for_ever(what: str, field: bytes, watchdog: Watchdog) -> None:
    """Each piece comes in time, so no timeout of the socket counts."""
    begin, again = ENDLESS[what]
    head = b"HTTP/1.1 200 OK\r\n" + field + b"Transfer-Encoding: chunked\r\n\r\n"
    with ScriptedServer([[head + begin, *[again] * 300]], pause_s=0.05) as server:
        source = Source(f"{server.url}/a/b", TOKEN, SIZE, "it")
        found = source.open(Connections(0.3, watchdog), 0, SIZE)
        with pytest.raises(ConnectionBroken, match="stalled"):
            found.read_into(memoryview(bytearray(SIZE)))


def test_a_chunk_of_negative_size_is_a_broken_connection(connections: Connections) -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n" + DATA[:4096]
    with ScriptedServer([said]) as server:
        found = Source(f"{server.url}/a/b", TOKEN, 100, "it").open(connections, 0, 100)
        with pytest.raises(ConnectionBroken):
            found.read_into(memoryview(bytearray(100)))


def test_a_file_that_grew_is_refused_before_it_is_read(connections: Connections) -> None:
    with ScriptedServer([answer("200 OK", b"abcde")]) as server, pytest.raises(Transient) as caught:
        Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

    assert caught.value.reason is Reason.SIZE_MISMATCH
    assert caught.value.message == "it: 5 bytes offered, 4 were listed (no Content-Type, begins like text)"
