"""Where the bytes of one file come from: one signed address, renewed when it must be, asked for the right ranges."""

from __future__ import annotations

import gc
import gzip
import socket
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.retry import Transient
from init_sync.hub.source import MAX_RENEWALS, PATIENCE_WITH_RANGES, Source, WholeFileOnly
from init_sync.hub.transport import ConnectionBroken, Connections, Response, origin
from init_sync.hub.watchdog import Watchdog
from support.hub import Fault, LocalHub, RepoBuilder
from support.proxy import Proxy
from support.scripted_server import ScriptedServer, answer

DATA = bytes(range(256)) * 4096
SIZE = len(DATA)
TOKEN = {"authorization": "Bearer hf_x", "user-agent": "init-sync"}


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog()
    yield made
    made.close()


@pytest.fixture
def connections(watchdog: Watchdog) -> Iterator[Connections]:
    opened = Connections(2.0, watchdog)
    yield opened
    opened.close()


@pytest.fixture
def commit(hub: LocalHub, tmp_path: Path) -> str:
    return RepoBuilder(tmp_path / "hub", "owner/small").commit({"model.safetensors": DATA})


@pytest.fixture
def source(hub: LocalHub, commit: str) -> Source:
    return Source(f"{hub.endpoint}/owner/small/resolve/{commit}/model.safetensors", TOKEN, SIZE, "it")


def read(found: Response, count: int) -> bytes:
    buffer = bytearray(count)
    assert found.read_into(memoryview(buffer)) == count
    found.done()
    return bytes(buffer)


def fetch(source: Source, connections: Connections, start: int, end: int) -> bytes:
    return read(source.open(connections, start, end), end - start)


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


def test_the_second_origin_gets_neither_the_token_nor_any_other_header_of_the_hub(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    fetch(source, connections, 0, 1000)
    fetch(source, connections, 1000, 2000)

    by_origin = {request.origin: request.headers for request in hub.requests}
    assert by_origin["api"]["authorization"] == "Bearer hf_x"
    assert by_origin["api"]["user-agent"] == "init-sync"
    assert "authorization" not in by_origin["cdn"]
    assert not hub.leaked_authorization


def test_the_token_follows_a_redirect_within_the_hub_and_not_one_that_leaves_it(connections: Connections) -> None:
    with ScriptedServer([answer("200 OK", b"data", ETag='"x"')]) as elsewhere:
        moved = [answer("307 Temporary Redirect", Location="/renamed/file")]
        with ScriptedServer([*moved, answer("302 Found", Location=f"{elsewhere.url}/blob")]) as hub:
            source = Source(f"{hub.url}/old/file", {"Authorization": "Bearer hf_x"}, 4, "it")

            assert fetch(source, connections, 0, 4) == b"data"

    assert [head.splitlines()[0] for head in hub.heads] == ["GET /old/file HTTP/1.1", "GET /renamed/file HTTP/1.1"]
    assert all("Bearer hf_x" in head for head in hub.heads)
    assert not any("Bearer" in head for head in elsewhere.heads)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://hub.test/a", "http://hub.test/a"),
        ("http://hub.test/a", "http://hub.test:8080/a"),
        ("https://hub.test/a", "https://cdn.hub.test/a"),
    ],
)
def test_scheme_host_and_port_each_make_another_origin(one: str, other: str) -> None:
    assert origin(one) != origin(other)


def test_the_default_port_and_the_case_of_the_host_do_not() -> None:
    assert origin("https://Hub.test/a") == origin("https://hub.test:443/b")


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


def test_a_file_that_grew_is_refused_before_it_is_read(connections: Connections) -> None:
    with ScriptedServer([answer("200 OK", b"abcde")]) as server, pytest.raises(Transient) as caught:
        Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

    assert caught.value.reason is Reason.SIZE_MISMATCH
    assert caught.value.message == "it: 5 bytes offered, 4 were listed (no Content-Type, begins like text)"


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1",
        f"http://{'a' * 70}.example/",
        "//[",
    ],
)
def test_a_redirect_to_what_is_no_address_is_worth_another_try(connections: Connections, location: str) -> None:
    with ScriptedServer([answer("302 Found", Location=location)]) as server, pytest.raises(Transient) as caught:
        Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

    assert caught.value.reason is Reason.HUB_UNREACHABLE


def test_a_loop_of_redirects_ends(connections: Connections) -> None:
    with ScriptedServer([answer("302 Found", Location="/file")]) as server:
        with pytest.raises(Transient, match="more than 5 redirects"):
            Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

        assert len(server.heads) == 6


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


@pytest.mark.parametrize(
    ("location", "arrives"),
    [
        ("/a b", "/a%20b"),
        ("/gr\xf6\xdfe?x=\xe9", "/gr%F6%DFe?x=%E9"),
        ("/模型 v1?a=b%2Fc&d=+".encode().decode("latin-1"), "/%E6%A8%A1%E5%9E%8B%20v1?a=b%2Fc&d=+"),
        ("blob#part", "/x/blob"),
    ],
    ids=["space", "Latin-1", "UTF-8", "relative, with a fragment"],
)
def test_the_address_of_a_redirect_is_quoted_as_browsers_do(
    location: str, arrives: str, connections: Connections
) -> None:
    moved = answer("302 Found").replace(b"\r\n\r\n", b"\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n")
    with ScriptedServer([moved, answer("200 OK", b"data")]) as server:
        assert fetch(Source(f"{server.url}/x/file", {}, 4, "it"), connections, 0, 4) == b"data"

    assert server.heads[1].startswith(f"GET {arrives} HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "http://[::ffff:a9fe:a9fe]/", "http://2852039166/", "file:///etc/passwd"],
)
@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "by a proxy"])
def test_a_redirect_to_where_none_may_lead_is_refused_at_once(
    location: str, proxied: bool, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer([answer("302 Found", Location=location)]) as server:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", server.url)
        with pytest.raises(NeedsChange, match=f"a redirect of {server.address} leads to") as caught:
            Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

    assert caught.value.reason is Reason.HUB_UNREACHABLE
    assert len(server.heads) == 1


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


@pytest.mark.parametrize("field", ["X-Error-Message", "Server", "Content-Type", "x-request"])
def test_a_token_that_a_server_repeats_is_not_quoted(field: str, connections: Connections) -> None:
    """An error page for developers shows the request, its headers included."""
    said = f"HTTP/1.1 403 No\r\nContent-Length: 0\r\n{field}: you sent Bearer hf_x\r\n\r\n".encode()
    with ScriptedServer([said]) as server:
        assert connections.get(server.url, TOKEN).headers[field] == "you sent Bearer [token]"
        with pytest.raises((NeedsChange, Transient)) as caught:
            Source(f"{server.url}/a/b", TOKEN, 100, "it").open(connections, 0, 100)
    assert "hf_x" not in str(caught.value)


def test_a_source_without_redirects_follows_none(connections: Connections) -> None:
    with ScriptedServer([answer("302 Found", Location="/elsewhere")]) as server:
        with pytest.raises(Transient, match="more than 0 redirects"):
            Source(f"{server.url}/file", {}, 4, "it", max_redirects=0).open(connections, 0, 4)

        assert len(server.heads) == 1


def test_a_refusal_by_storage_with_the_code_of_a_hub_is_the_hubs_and_names_the_host(connections: Connections) -> None:
    with ScriptedServer([answer("403 Forbidden", X_Error_Code="GatedRepo", X_Error_Message="Ask first.")]) as storage:
        address = storage.address
        with ScriptedServer([answer("302 Found", Location=f"{storage.url}/blob")]) as hub:
            source = Source(f"{hub.url}/file", {"Authorization": "Bearer hf_x"}, 4, "it")
            with pytest.raises(NeedsChange) as caught:
                source.open(connections, 0, 4)

    assert caught.value.reason is Reason.GATED_REPO
    assert f'fetching it: {address} answered 403 GatedRepo ("Ask first.")' in caught.value.message
    assert not any("hf_x" in head for head in storage.heads)
