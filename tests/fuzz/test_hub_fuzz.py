"""Whatever a hub answers: no traceback, nothing outside of the volume, and never complete without the right bytes."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.crash import Nursery, Run
from support.hub import LocalHub, RepoBuilder
from support.kill_lab import noise
from support.lying_hub import Lie, LyingHub, Said
from support.mutation import mutated
from support.sync import manifest, model, tree

FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": noise("fuzzed", 300_000), "empty.txt": b""}
SPEC = manifest(model("m", "owner/fuzzed"))
HURRY = ("--stall-timeout", "0.3", "--give-up-after", "0.4")
FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=12, deadline=None
)
HEADERS = (
    *("Content-Length", "Content-Range", "Content-Encoding", "Transfer-Encoding", "Connection", "ETag", "Location"),
    *("Retry-After", "RateLimit", "X-Error-Code", "X-Error-Message", "X-Linked-Size", "X-Linked-Etag", "X-Repo-Commit"),
    *("Content-Type", "Link", "Set-Cookie"),
)
VALUES = st.one_of(
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20),
    st.sampled_from(
        [
            *("0", "-1", "1", "99999999999999999999", "1e9", "NaN", "chunked", "gzip", "close", "identity, chunked"),
            *("bytes 0-0/1", "bytes 5-1/3", "bytes */*", "bytes 0-299999/300000", 'W/"x"', '"x', "0.5", "3600"),
            *("Fri, 31 Dec 9999 23:59:59 GMT", "/", "//", "http://", "http://127.0.0.1:9/x", "ftp://127.0.0.1/x"),
            *("http://[::1", "http://127.0.0.1:99999/", "file:///etc/passwd", "?", "\x00", "é" * 50, "RepoNotFound"),
        ]
    ),
)
STATUSES = st.sampled_from(
    [100, 101, 199, 200, 204, 206, 301, 304, 308, 400, 401, 404, 407, 408, 416, 429, 451, 500, 599]
)


@dataclass(frozen=True)
class World:
    """Shared by all examples: nothing in it changes but the lie."""

    folder: Path
    liar: LyingHub
    nursery: Nursery
    listing: Any
    tree: Any

    def run(self, volume: Path, *arguments: str) -> Run:
        return self.nursery.run("sync", SPEC, volume, *arguments)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("fuzz")
    RepoBuilder(folder / "hub", "owner/fuzzed").commit(FILES)
    with LocalHub(folder / "hub") as hub, LyingHub(hub) as liar, Nursery(liar.endpoint, folder) as nursery:
        api = f"{hub.endpoint}/api/models/owner/fuzzed"
        listing, paged = (ask(f"{api}/{path}") for path in ("revision/main?blobs=true", "tree/main?recursive=true"))
        yield World(folder, liar, nursery, listing, paged)


def ask(url: str) -> Any:
    with urlopen(url) as answer:
        return json.load(answer)


@contextmanager
def lying(world: World, lie: Lie) -> Iterator[None]:
    world.liar.lie = lie
    try:
        yield
    finally:
        world.liar.lie = None


def survive(world: World, lie: Lie) -> None:
    """A sync is lied to; then the truth must make it whole."""
    place = world.folder / "around"
    volume = place / "volume"
    volume.mkdir(parents=True)
    try:
        with lying(world, lie):
            run = world.run(volume, *HURRY)
        code = run.wait()
        assert code in (0, 1, 2), run.output
        assert "Traceback" not in run.output
        assert "unexpected error" not in run.output
        assert {path.name for path in place.iterdir()} == {"volume", "volume.cache.json"}, "it wrote elsewhere"
        for path, content in tree(volume).items():
            assert content in FILES.values(), f"{path} holds what nobody has listed"
        last = world.run(volume, "--refresh")
        assert last.wait() == 0, f"{run.output}\n{last.output}"
        found = tree(volume)
        assert {path: found.get(f"m/{path}") for path in FILES} == FILES
    finally:
        shutil.rmtree(place)


def about(kind: str, change: Callable[[Said], Said], times: int | None) -> Lie:
    """A change of the first ``times`` answers of a kind; None: of all."""
    left = [times]

    def lie(asked: str, said: Said) -> Said:
        if asked != kind or left[0] == 0:
            return said
        left[0] = None if left[0] is None else left[0] - 1
        return change(said)

    return lie


def with_body(said: Said, body: bytes, honest_length: bool = True) -> Said:
    if not honest_length:
        return replace(said, body=body)
    head = said.head.replace(b"Content-Length: %d\r\n" % len(said.body), b"Content-Length: %d\r\n" % len(body))
    return Said(head, body)


KINDS = st.sampled_from(["model_info", "tree", "resolve", "blob"])
TIMES = st.sampled_from([1, 2, None])


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.timeout(600)
class TestLies:
    @FUZZ
    @given(data=st.data(), times=TIMES)
    def test_any_value_anywhere_in_a_listing(self, world: World, data: st.DataObject, times: int | None) -> None:
        spoiled = json.dumps(mutated(world.listing, data)).encode("utf-8", "surrogatepass")
        survive(world, about("model_info", lambda said: with_body(said, spoiled), times))

    @FUZZ
    @given(data=st.data(), times=TIMES)
    def test_any_value_anywhere_in_a_paged_listing(self, world: World, data: st.DataObject, times: int | None) -> None:
        spoiled = json.dumps(mutated(world.tree, data)).encode("utf-8", "surrogatepass")
        survive(world, about("tree", lambda said: with_body(said, spoiled), times))

    @pytest.mark.parametrize(
        "change",
        [
            {"rfilename": None},
            {"rfilename": ""},
            {"size": -1},
            {"size": 1.5},
            {"blobId": 7},
            {"blobId": "\ud800"},
            {"rfilename": "\ud800"},
        ],
    )
    def test_a_file_that_no_hub_would_list(self, world: World, change: dict[str, Any]) -> None:
        spoiled = copy.deepcopy(world.listing)
        spoiled["siblings"][0] |= change
        survive(world, about("model_info", lambda said: with_body(said, json.dumps(spoiled).encode()), 1))

    @pytest.mark.parametrize("commit", ["\ud800", "..", "a/b", "", 7, None])
    def test_a_commit_that_no_hub_would_name(self, world: World, commit: object) -> None:
        spoiled = json.dumps(world.listing | {"sha": commit}).encode()
        survive(world, about("model_info", lambda said: with_body(said, spoiled), 1))

    @pytest.mark.parametrize("change", [{"path": None}, {"size": "much"}, {"oid": None}, {"lfs": 3}])
    def test_a_file_that_no_hub_would_list_in_pages(self, world: World, change: dict[str, Any]) -> None:
        spoiled = copy.deepcopy(world.tree)
        spoiled[0] |= change
        survive(world, about("tree", lambda said: with_body(said, json.dumps(spoiled).encode()), 1))

    @FUZZ
    @given(kind=KINDS, name=st.sampled_from(HEADERS), value=VALUES, times=TIMES)
    def test_any_value_in_a_header(self, world: World, kind: str, name: str, value: str, times: int | None) -> None:
        def change(said: Said) -> Said:
            lines = said.head.split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith(name.lower().encode() + b":")]
            return replace(said, head=b"\r\n".join([kept[0], f"{name}: {value}".encode("latin-1"), *kept[1:]]))

        survive(world, about(kind, change, times))

    @FUZZ
    @given(kind=KINDS, status=STATUSES, times=TIMES)
    def test_any_status(self, world: World, kind: str, status: int, times: int | None) -> None:
        def change(said: Said) -> Said:
            rest = said.head.partition(b"\r\n")[2]
            return replace(said, head=b"HTTP/1.1 %d So\r\n" % status + rest)

        survive(world, about(kind, change, times))

    @FUZZ
    @given(kind=KINDS, start=st.floats(0, 1), length=st.integers(0, 40), data=st.binary(max_size=30), times=TIMES)
    def test_any_bytes_in_a_head(
        self, world: World, kind: str, start: float, length: int, data: bytes, times: int | None
    ) -> None:
        def change(said: Said) -> Said:
            at = int(len(said.head) * start)
            return replace(said, head=said.head[:at] + data + said.head[at + length :])

        survive(world, about(kind, change, times))

    @FUZZ
    @given(
        kind=KINDS,
        start=st.floats(0, 1),
        length=st.sampled_from([0, 1, 10, 1 << 20]),
        data=st.binary(max_size=30),
        honest=st.booleans(),
        times=TIMES,
    )
    def test_any_bytes_in_a_body(
        self, world: World, kind: str, start: float, length: int, data: bytes, honest: bool, times: int | None
    ) -> None:
        def change(said: Said) -> Said:
            at = int(len(said.body) * start)
            return with_body(said, said.body[:at] + data + said.body[at + length :], honest)

        survive(world, about(kind, change, times))
