"""Where the bytes of one file come from: one signed address, renewed when it must be, asked for the right ranges."""

from __future__ import annotations

import gc
import warnings
from contextlib import suppress

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.retry import Transient
from init_sync.hub.source import MAX_RENEWALS, PATIENCE_WITH_RANGES, Source, WholeFileOnly
from init_sync.hub.transport import Connections
from support.hub import Fault, LocalHub
from support.scripted_server import ScriptedServer, answer
from unit.fetching import DATA, SIZE, TOKEN, fetch


def test_the_hub_is_asked_once_for_an_address_that_then_serves_every_piece(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    pieces = [fetch(source, connections, start, start + SIZE // 4) for start in range(0, SIZE, SIZE // 4)]

    assert b"".join(pieces) == DATA
    assert (hub.count("resolve"), hub.count("blob")) == (1, 4)


def test_a_whole_file_is_asked_for_without_a_range(source: Source, connections: Connections, hub: LocalHub) -> None:
    assert fetch(source, connections, 0, SIZE) == DATA
    assert not any("range" in request.headers for request in hub.requests)


def test_nobody_may_compress_what_is_counted_in_bytes(source: Source, connections: Connections, hub: LocalHub) -> None:
    fetch(source, connections, 0, 1000)

    assert {request.headers["accept-encoding"] for request in hub.requests} == {"identity"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_address_that_is_no_longer_good_is_renewed_at_once(
    status: int, source: Source, connections: Connections, hub: LocalHub
) -> None:
    fetch(source, connections, 0, 1000)
    hub.add_fault(Fault("status", match=("blob",), status=status, times=1))

    with pytest.raises(Transient, match="expired") as caught:
        source.open(connections, 1000, 2000)

    assert caught.value.retry_after_s == 0.0
    assert fetch(source, connections, 1000, 2000) == DATA[1000:2000]
    assert hub.count("resolve") == 2


def test_after_many_renewals_without_a_byte_the_backoff_applies(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    hub.add_fault(Fault("status", match=("blob",), status=403))
    delays = []
    for _ in range(MAX_RENEWALS + 2):
        with pytest.raises(Transient) as caught:
            source.open(connections, 0, 1000)
        delays.append(caught.value.retry_after_s)

    assert delays == [0.0] * MAX_RENEWALS + [None] * 2


def test_a_refusal_by_the_hub_itself_is_final(source: Source, connections: Connections, hub: LocalHub) -> None:
    hub.add_fault(Fault("status", match=("resolve",), status=403, error_code="GatedRepo"))

    with pytest.raises(NeedsChange) as caught:
        source.open(connections, 0, 1000)

    assert caught.value.reason is Reason.GATED_REPO


def test_the_etag_is_a_condition_from_the_second_range_on(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    fetch(source, connections, 0, 1000)
    fetch(source, connections, 1000, 2000)

    conditions = [request.headers.get("if-range") for request in hub.requests if request.kind == "blob"]
    assert conditions == [None, source.etag]
    assert source.etag


def test_a_weak_etag_is_no_condition(connections: Connections) -> None:
    part = answer("206 Partial Content", b"ab", ETag='W/"x"', Content_Range="bytes 0-1/4")
    with ScriptedServer([part]) as server:
        source = Source(f"{server.url}/file", {}, 4, "it")
        fetch(source, connections, 0, 2)

    assert source.etag is None


def test_a_changed_etag_is_asked_again_without_a_condition(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    fetch(source, connections, 0, 1000)
    source.etag = '"another"'

    with pytest.raises(Transient, match="whole file") as caught:
        source.open(connections, 1000, 2000)

    assert caught.value.retry_after_s == 0.0
    assert fetch(source, connections, 1000, 2000) == DATA[1000:2000]


def test_a_server_that_never_sends_ranges_is_read_whole_after_a_few_tries(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    hub.add_fault(Fault("ignore_range"))
    for _ in range(PATIENCE_WITH_RANGES):
        with pytest.raises(Transient):
            source.open(connections, 1000, 2000)
    with pytest.raises(WholeFileOnly):
        source.open(connections, 1000, 2000)

    asked = hub.count("blob")
    with pytest.raises(WholeFileOnly):
        source.open(connections, 5000, 6000)
    assert hub.count("blob") == asked, "it is known now and not tried again"
    assert fetch(source, connections, 0, SIZE) == DATA


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Content_Range": "bytes 100-101/4"}, "asked from byte 0 of 4, got bytes 100-101/4"),
        ({"Content_Range": "bytes 0-1/5"}, "asked from byte 0 of 4, got bytes 0-1/5"),
        ({"Content_Range": "octets 0-1/4"}, "asked from byte 0 of 4"),
        ({}, "asked from byte 0 of 4, got no range"),
    ],
    ids=["other offset", "other size", "other unit", "none"],
)
def test_a_range_that_was_not_asked_for_is_refused(
    headers: dict[str, str], words: str, connections: Connections
) -> None:
    with ScriptedServer([answer("206 Partial Content", b"ab", **headers)]) as server:
        source = Source(f"{server.url}/file", {}, 4, "it")
        with pytest.raises(Transient, match=words) as caught:
            source.open(connections, 0, 2)

    assert caught.value.reason is Reason.SIZE_MISMATCH


def test_an_idle_connection_that_the_server_closed_is_made_anew_without_a_word(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    fetch(source, connections, 0, 1000)
    hub.stop()
    hub.start()

    assert fetch(source, connections, 1000, 2000) == DATA[1000:2000]


@pytest.mark.parametrize(
    "said", [answer("200 OK", b"abcde"), answer("206 Partial Content", b"ab"), answer("204 No Content")]
)
def test_an_answer_that_is_left_leaves_no_socket_behind(said: bytes, connections: Connections) -> None:
    with ScriptedServer([said]) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        with suppress(Transient):
            Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)
        gc.collect()

    assert [str(each.message) for each in warned] == []


def test_forgetting_an_address_asks_the_hub_for_another(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    fetch(source, connections, 0, 1000)
    source.forget()
    fetch(source, connections, 0, 1000)

    assert hub.count("resolve") == 2


@pytest.mark.parametrize("field", ["X-Error-Message", "Server", "Content-Type", "x-request"])
def test_a_token_that_a_server_repeats_is_not_quoted(field: str, connections: Connections) -> None:
    """An error page for developers shows the request, its headers included."""
    said = f"HTTP/1.1 403 No\r\nContent-Length: 0\r\n{field}: you sent Bearer hf_x\r\n\r\n".encode()
    with ScriptedServer([said]) as server:
        assert connections.get(server.url, TOKEN).headers[field] == "you sent Bearer [token]"
        with pytest.raises((NeedsChange, Transient)) as caught:
            Source(f"{server.url}/a/b", TOKEN, 100, "it").open(connections, 0, 100)
    assert "hf_x" not in str(caught.value)
