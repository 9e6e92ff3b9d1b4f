"""Whatever a client sends to ``init-sync serve``: a plain refusal or an answer, nothing from outside, all served."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from urllib.parse import quote

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from init_sync.serve.request import BadRequest, Request, read_head
from init_sync.serve.routes import find_route
from support.hub import LocalHub, RepoBuilder
from support.kill_lab import noise
from support.peer import Peer, peer
from support.sync import manifest, model
from support.three_models import complete

pytestmark = pytest.mark.fuzz

FILES = {"config.json": b'{"a": 1}\n', "unet/model.safetensors": noise("fuzzed", 300_000), "empty.txt": b""}
SECRET = b"not of this volume"
STATUS = re.compile(rb"HTTP/1\.1 (200|206|304|400|401|404|405|413|416|417|431) ")
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "G\0T", ""])
NAMES = st.sampled_from(
    [
        *(
            "owner",
            "fuzzed",
            "main",
            "config.json",
            "unet",
            "model.safetensors",
            "empty.txt",
            "resolve",
            "api",
            "models",
        ),
        *("revision", "tree", "paths-info", "healthz", "metrics", "refs", "pr", "1", "..", ".", "", ".modelcache", "%"),
        *(
            "%2e%2e",
            "%2f",
            "%2e%2e%2f%2e%2e%2fsecret",
            "%00",
            "%0d%0aX-B:%20c",
            "%c0%ae",
            "%252e",
            "%zz",
            "é",
            "a" * 3_000,
            "\\",
            "secret",
        ),
    ]
)
ADDRESSES = st.one_of(
    st.lists(NAMES, max_size=9).map(lambda names: "/" + "/".join(names)),
    st.sampled_from(
        [
            *("/owner/fuzzed/resolve/main/config.json", "/api/models/owner/fuzzed/tree/main", "*", "http://x/metrics"),
            *(f"/owner/fuzzed/resolve/main/{quote(path, safe='')}" for path in ("../secret", "unet/../config.json")),
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=40),
)
QUERIES = st.sampled_from(
    ["", "?recursive=true", "?recursive=1&cursor=9999999", "?cursor=-1", "?cursor=\u00b2", "?" + "a&" * 99]
)
FIELDS = st.tuples(
    st.sampled_from(
        [
            *(
                "Host",
                "Content-Length",
                "Transfer-Encoding",
                "Connection",
                "Range",
                "If-Range",
                "If-None-Match",
                "Expect",
            ),
            *("Authorization", "Content-Type", "X-Forwarded-Proto", "X-A", "X A", "", "Content-Length ", "\tX"),
        ]
    ),
    st.one_of(
        st.sampled_from(
            [
                *(
                    "0",
                    "5",
                    "-1",
                    "+5",
                    "5, 5",
                    "0x5",
                    "99999999999999999999",
                    "chunked",
                    "gzip, chunked",
                    "close",
                    "x",
                ),
                *("bytes=0-0", "bytes=5-", "bytes=-5", "bytes=9-3", "bytes=0-1,3-4", "bytes=99999999999999999999-"),
                *(
                    '"x"',
                    "*",
                    "application/json",
                    "100-continue",
                    "Bearer x",
                    "https",
                    "a\r\nX-B: c",
                    "a\nb",
                    "\0",
                    " ",
                ),
            ]
        ),
        st.text(st.characters(max_codepoint=255), max_size=30),
    ),
).map(lambda pair: f"{pair[0]}: {pair[1]}")
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"])
BODIES = st.sampled_from(
    ["", "hello", "0\r\n\r\n", '{"paths": ["config.json"]}', "paths=unet", "[" * 999, "GET / HTTP/1.1"]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Mostly a request, with anything in any place of it."""
    version = draw(st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", ""]))
    first = f"{draw(METHODS)} {draw(ADDRESSES)}{draw(QUERIES)} {version}"
    host = draw(st.sampled_from([["Host: x"], ["Host: x"], []]))
    lines = [first, *host, *draw(st.lists(FIELDS, max_size=4))]
    text = "".join(line + draw(ENDS) for line in lines) + draw(ENDS) + draw(BODIES)
    return text.encode("latin-1", "replace")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "volume").mkdir()
    (folder / "secret").write_bytes(SECRET)
    RepoBuilder(folder / "hub", "owner/fuzzed").commit(FILES)
    with LocalHub(folder / "hub") as hub:
        complete(manifest(model("m", "owner/fuzzed")), folder / "volume", hub)
    with peer(folder / "volume") as running:
        yield running


def check(received: bytes, served: Peer, caplog: pytest.LogCaptureFixture) -> None:
    assert not received or STATUS.match(received)
    assert SECRET not in received
    assert b"\r\nX-B:" not in received
    assert served.ask("/healthz").status == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@FUZZ
@given(data=requests())
def test_any_request(data: bytes, served: Peer, caplog: pytest.LogCaptureFixture) -> None:
    check(served.exchange(data), served, caplog)


@FUZZ
@given(parts=st.lists(requests(), min_size=2, max_size=4), cut=st.integers(0, 400))
def test_any_requests_in_one_go_and_cut_anywhere(
    parts: list[bytes], cut: int, served: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    data = b"".join(parts)
    check(served.exchange(data[: len(data) - cut]), served, caplog)


@FUZZ
@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes, served: Peer, caplog: pytest.LogCaptureFixture) -> None:
    check(served.exchange(data), served, caplog)


@given(data=requests())
def test_what_is_accepted_another_parser_frames_alike(data: bytes) -> None:
    """So that nothing can be smuggled past a proxy in front: h11 accepts it too, with the same method and length."""
    head, end, _ = data.partition(b"\r\n\r\n")
    try:
        ours: Request = read_head(head)
        find_route(ours.target)
    except BadRequest:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(head + end)
    event = other.next_event()
    assert isinstance(event, h11.Request)
    theirs = {name.decode(): value.decode("latin-1") for name, value in event.headers}
    assert event.method.decode() == ours.method
    assert int(theirs.get("content-length", "0")) == ours.body_bytes
    assert "transfer-encoding" not in theirs
