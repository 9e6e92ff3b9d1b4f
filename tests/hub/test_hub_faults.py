"""Each fault switch, seen from the socket."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.raw_client import ask, ask_on, connect, signed_url
from support.waiting import eventually

from .sample import REPO, WEIGHTS

BlobUrl = Callable[[], str]


def info_url(hub: LocalHub) -> str:
    return f"{hub.endpoint}/api/models/{REPO}"


def config_url(hub: LocalHub) -> str:
    return f"{hub.endpoint}/{REPO}/resolve/main/config.json"


class Reader:
    """Reads the raw bytes of one answer until the connection ends, and remembers how it ended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._sock = socket.create_connection((parts.hostname, parts.port), timeout=10)
        target = f"{parts.path}?{parts.query}".rstrip("?")
        self._sock.sendall(f"GET {target} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())

    def to_the_end(self) -> tuple[bytes, type[OSError] | None]:
        received = b""
        with self._sock:
            try:
                while data := self._sock.recv(1 << 20):
                    received += data
            except OSError as e:
                return received, type(e)
        return received, None

    def exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count and (data := self._sock.recv(count - len(received))):
            received += data
        return received

    def first_of_the_body(self) -> bytes:
        received = b""
        while not split_body(received):
            received += self.exactly(1)
        return received

    def is_silent(self) -> bool:
        """Nothing more arrives, and the connection stays open."""
        self._sock.settimeout(0.1)
        try:
            self._sock.recv(1)
        except TimeoutError:
            return True
        finally:
            self._sock.settimeout(10)
        return False

    def close(self) -> None:
        self._sock.close()


def split_body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def test_status_answers_with_everything_a_client_looks_at(hub: LocalHub) -> None:
    hub.add_fault(
        Fault("status", status=429, retry_after=7, ratelimit_reset=5, error_code="Slow", headers={"X-A": "b"})
    )
    got = ask(info_url(hub))
    assert (got.status, got.headers["retry-after"], got.headers["x-error-code"], got.headers["x-a"]) == (
        429,
        "7",
        "Slow",
        "b",
    )
    assert got.headers["ratelimit"] == '"resolvers";r=0;t=5'
    assert hub.requests[0].status == 429


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        (Fault("status"), [True, True, True]),
        (Fault("status", match=("model_info", "blob")), [True, False, True]),
        (Fault("status", file="*.safetensors"), [False, False, True]),
        (Fault("status", match=("resolve",), file="*.safetensors"), [False, False, False]),
        (Fault("status", repo="owner/*"), [True, True, True]),
        (Fault("status", repo="other/*"), [False, False, False]),
        (Fault("status", times=2), [True, True, False]),
        (Fault("status", times=0), [False, False, False]),
    ],
    ids=lambda value: repr(value)[:70] if isinstance(value, Fault) else "",
)
def test_a_fault_meets_only_what_it_matches(hub: LocalHub, blob_url: BlobUrl, fault: Fault, met: list[bool]) -> None:
    urls = [info_url(hub), config_url(hub), blob_url()]
    hub.add_fault(fault)
    assert [ask(url).status == 500 for url in urls] == met


def test_faults_of_one_kind_take_their_turns_in_order(hub: LocalHub) -> None:
    hub.add_fault(Fault("status", status=429, times=2))
    hub.add_fault(Fault("status", status=503, times=1))
    assert [ask(info_url(hub)).status for _ in range(4)] == [429, 429, 503, 200]


@pytest.mark.parametrize(("kind", "error"), [("drop_fin", None), ("drop_rst", ConnectionResetError)])
def test_a_drop_before_any_answer(hub: LocalHub, kind: str, error: type[OSError] | None) -> None:
    hub.add_fault(Fault(kind, times=1))
    assert Reader(info_url(hub)).to_the_end() == (b"", error)
    assert hub.requests[0].status == 0
    assert ask(info_url(hub)).status == 200


@pytest.mark.parametrize(("kind", "error"), [("drop_fin", None), ("drop_rst", ConnectionResetError)])
def test_a_drop_in_the_body_delivers_exactly_so_many_bytes(
    hub: LocalHub, blob_url: BlobUrl, kind: str, error: type[OSError] | None
) -> None:
    hub.add_fault(Fault(kind, match=("blob",), after_bytes=200_000, times=1))
    received, end = Reader(blob_url()).to_the_end()
    assert (split_body(received), end) == (WEIGHTS[:200_000], error)
    assert b"Content-Length: 300000\r\n" in received
    assert hub.bytes_sent == 200_000
    assert ask(blob_url()).body == WEIGHTS


def test_a_reset_does_not_take_back_what_was_sent_before_it(hub: LocalHub, repo: RepoBuilder) -> None:
    repo.commit({"large.bin": bytes(16_000_000)})
    hub.add_fault(Fault("drop_rst", match=("blob",), after_bytes=12_000_000))
    received, end = Reader(signed_url(hub.endpoint, REPO, "large.bin")).to_the_end()
    assert (len(split_body(received)), end) == (12_000_000, ConnectionResetError)


def test_a_fault_behind_the_end_of_a_body_keeps_its_turn(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("drop_fin", match=("blob",), after_bytes=200_000, times=1))
    assert ask(blob_url(), headers={"Range": "bytes=0-99"}).body == WEIGHTS[:100]
    with pytest.raises(http.client.IncompleteRead):
        ask(blob_url())


def test_a_stall_before_the_answer_lasts_until_the_hub_stops(hub: LocalHub) -> None:
    hub.add_fault(Fault("stall"))
    reader = Reader(info_url(hub))
    assert reader.is_silent()
    assert hub.count("model_info") == 1
    hub.stop()
    assert reader.to_the_end()[0] == b""


def test_a_stall_in_the_body_comes_after_so_many_bytes(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("stall", match=("blob",), after_bytes=1000, times=1))
    reader = Reader(blob_url())
    received = b""
    while len(split_body(received)) < 1000:
        received += reader.exactly(1)
    assert split_body(received) == WEIGHTS[:1000]
    assert reader.is_silent()
    reader.close()


def test_a_stalled_connection_ends_when_the_client_leaves(hub: LocalHub) -> None:
    hub.add_fault(Fault("stall"))
    Reader(info_url(hub)).close()
    eventually(
        lambda: all(thread.name != "hub-connection" for thread in threading.enumerate()),
        "the hub no longer serves a client that left",
        5,
    )


def test_wrong_bytes_flips_one_byte_and_keeps_the_length(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("wrong_bytes", match=("blob",), offset=1234))
    wrong = bytearray(WEIGHTS)
    wrong[1234] ^= 0xFF
    assert ask(blob_url()).body == bytes(wrong)
    assert ask(blob_url(), headers={"Range": "bytes=1230-1239"}).body == bytes(wrong[1230:1240])
    assert ask(blob_url(), headers={"Range": "bytes=1235-"}).body == WEIGHTS[1235:]


def test_wrong_bytes_waits_for_the_range_that_covers_it(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("wrong_bytes", match=("blob",), offset=5000, times=1))
    assert ask(blob_url(), headers={"Range": "bytes=0-99"}).body == WEIGHTS[:100]
    assert ask(blob_url(), headers={"Range": "bytes=5000-5000"}).body != WEIGHTS[5000:5001]
    assert ask(blob_url()).body == WEIGHTS


def test_truncate_shortens_length_and_body_alike(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("truncate", match=("blob",), after_bytes=100))
    got = ask(blob_url())
    assert (got.status, got.headers["content-length"], got.body) == (200, "100", WEIGHTS[:100])


def test_slow_spreads_a_body_over_time(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=1_000_000))
    started = time.monotonic()
    assert ask(blob_url()).body == WEIGHTS
    assert time.monotonic() - started >= 0.25


def test_slow_connections_do_not_slow_each_other(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=10))
    readers = [Reader(blob_url()) for _ in range(8)]
    for reader in readers:
        reader.first_of_the_body()
    for reader in readers:
        reader.close()


def test_a_slow_body_does_not_hold_up_a_stop(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=10))
    reader = Reader(blob_url())
    reader.exactly(1)
    started = time.monotonic()
    hub.stop()
    assert time.monotonic() - started < 5
    reader.close()


def test_ignore_range_answers_200_with_the_whole_file(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("ignore_range", times=1))
    assert ask(blob_url()).status == 200, "a request without Range does not use the fault up"
    got = ask(blob_url(), headers={"Range": "bytes=100-199"})
    assert (got.status, got.body, "content-range" in got.headers) == (200, WEIGHTS, False)
    assert ask(blob_url(), headers={"Range": "bytes=100-199"}).status == 206


def test_expire_refuses_the_urls_handed_out_before(hub: LocalHub, blob_url: BlobUrl) -> None:
    old = blob_url()
    hub.add_fault(Fault("expire"))
    assert ask(old).status == 403
    assert ask(blob_url()).body == WEIGHTS


def test_expire_can_spare_other_files(hub: LocalHub, blob_url: BlobUrl) -> None:
    old = blob_url()
    hub.add_fault(Fault("expire", file="*.bin"))
    assert ask(old).status == 200


def test_change_etag_breaks_if_range(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("change_etag", match=("blob",)))
    first, second = ask(blob_url(), headers={"Range": "bytes=0-9"}), ask(blob_url(), headers={"Range": "bytes=0-9"})
    assert first.headers["etag"] != second.headers["etag"]
    assert (first.status, first.body) == (206, WEIGHTS[:10])
    got = ask(blob_url(), headers={"Range": "bytes=10-", "If-Range": first.headers["etag"]})
    assert (got.status, got.body) == (200, WEIGHTS)


def test_die_every_resets_each_connection_after_so_many_bytes(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("die_every", match=("blob",), after_bytes=100_000))
    for _ in range(2):
        received, end = Reader(blob_url()).to_the_end()
        assert (split_body(received), end) == (WEIGHTS[:100_000], ConnectionResetError)


def test_die_every_counts_over_the_answers_of_one_connection(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("die_every", match=("blob",), after_bytes=150))
    url = blob_url()
    connection = connect(url)
    assert ask_on(connection, url, headers={"Range": "bytes=0-99"}).body == WEIGHTS[:100]
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask_on(connection, url, headers={"Range": "bytes=100-199"})
    connection.close()
    assert hub.bytes_sent == 150


def test_extra_delay_waits_before_the_answer(hub: LocalHub) -> None:
    hub.add_fault(Fault("extra_delay", seconds=0.2, times=1))
    started = time.monotonic()
    assert ask(info_url(hub)).status == 200
    assert time.monotonic() - started >= 0.2


def test_extra_delay_ends_when_the_hub_stops(hub: LocalHub) -> None:
    hub.add_fault(Fault("extra_delay", seconds=60))
    reader = Reader(info_url(hub))
    assert reader.is_silent()
    started = time.monotonic()
    hub.stop()
    assert time.monotonic() - started < 5
    reader.close()


def test_different_faults_meet_on_one_request(hub: LocalHub, blob_url: BlobUrl) -> None:
    hub.add_fault(Fault("ignore_range", match=("blob",)))
    hub.add_fault(Fault("wrong_bytes", match=("blob",), offset=0))
    hub.add_fault(Fault("drop_rst", match=("blob",), after_bytes=50))
    url = blob_url()
    connection = connect(url)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask_on(connection, url, headers={"Range": "bytes=100-199"})
    connection.close()
    assert (hub.requests[-1].status, hub.requests[-1].bytes_sent) == (200, 50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "explode"}, "must be one of extra_delay"),
        ({"kind": "status", "match": ("blobs",)}, "fault match 'blobs'"),
        ({"kind": "slow"}, "bytes_per_second must be greater than 0"),
        ({"kind": "die_every"}, "after_bytes must be greater than 0"),
        ({"kind": "extra_delay"}, "seconds must be greater than 0"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault(**arguments)
