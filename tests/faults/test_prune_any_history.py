"""Any history of two caches on one claim, syncs, prepared copies, prunes, kills: what is needed stays, the rest goes.

The judge knows nothing of receipts of the pruning cache or of its record of owned files: it remembers which files came
while a sync of which cache ran, and asks ``status`` which models are complete.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from init_sync.app.specfile import read_manifest
from init_sync.volume.volume import Volume
from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.preparing import PROGRAM, preparation
from support.sync import manifest, model, run_command

COMMITS = [
    {"a.json": b"1", "b.bin": b"one", "sub/c.txt": b"c"},
    {"a.json": b"2", "b.bin": b"one", "sub/d.txt": b"d"},
    {"a.json": b"1", "e/f.txt": b"f"},
]
OTHER = {"a.json": b"other", "index.json": b"[1]"}
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
Mark = tuple[int, int, int]


def _model(name: str, repo: str = "owner/moving", **fields: Any) -> dict[str, Any]:
    return model(name, repo, **fields)


LINK = {"links": [{"file": "index.json", "at": "it/index.json"}]}
VARIANTS: list[list[dict[str, Any]]] = [
    [_model("it")],
    [_model("it", include=["*.json"])],
    [_model("it"), _model("other", "owner/other", **LINK)],
    [_model("other", "owner/other")],
    [_model("mine", path="it"), _model("there", path="it2")],
    [_model("there", path="it2", oneOf=[{"file": "b.bin"}, {"file": "e/f.txt"}], include=["a.json"])],
]


@dataclass(frozen=True)
class Step:
    verb: str
    cache: str = ""
    variant: int = 0
    refresh: bool = False
    kill_at: int | None = None


KILLS = st.one_of(st.none(), st.integers(1, 60))
CACHES = st.sampled_from(["first", "second"])
STEPS = st.one_of(
    st.builds(Step, st.just("sync"), CACHES, st.integers(0, len(VARIANTS) - 1), st.booleans(), KILLS),
    st.builds(Step, st.just("sync and prepare"), CACHES, st.integers(0, len(VARIANTS) - 1), st.booleans()),
    st.builds(Step, st.sampled_from(["prune", "prepare"]), CACHES, kill_at=KILLS),
    st.builds(Step, st.just("commit"), variant=st.integers(0, len(COMMITS) - 1)),
    st.builds(Step, st.sampled_from(["touch", "put"]), variant=st.integers(0, 7)),
)


@dataclass
class World:
    nursery: Nursery
    volume: Path
    moving: RepoBuilder
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    came_with: dict[str, tuple[str, Mark]] = field(default_factory=dict)
    """By path: the cache whose sync ran when this came."""
    foreign: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    """Caches of whose present manifest a sync has ended: one that was killed may not have said yet what it needs."""

    def take(self, step: Step) -> None:
        match step.verb:
            case "commit":
                self.moving.commit(COMMITS[step.variant])
            case "touch" | "put":
                self._disturb(step)
            case "sync" | "sync and prepare":
                self._sync(step)
                if step.verb == "sync and prepare":
                    self._prepare(step)
            case "prune" if step.cache in self.specs:
                self.prune(step)
            case "prepare" if step.cache in self.specs:
                self._prepare(step)

    def _disturb(self, step: Step) -> None:
        paths = sorted(self.marks())
        if step.verb == "put":
            path = f"it/{('notes.txt', 'sub/d.txt', 'a.json', 'e/f.txt')[step.variant % 4]}"
            if path in paths:
                return
            (self.volume / path).parent.mkdir(parents=True, exist_ok=True)
            (self.volume / path).write_bytes(b"d" if step.variant % 4 == 1 else b"of a user")
            self.foreign.add(path)
        elif paths:
            path = paths[step.variant % len(paths)]
            (self.volume / path).touch()
            self.foreign.add(path)

    def _sync(self, step: Step) -> None:
        spec = manifest(*VARIANTS[step.variant], name=step.cache)
        if spec != self.specs.get(step.cache):
            self.settled.discard(step.cache)
        self.specs[step.cache] = spec
        before = self.marks()
        more = ["--refresh"] if step.refresh else []
        run = self.nursery.start(
            "sync", self.specs[step.cache], self.volume, "--connections", "1", *more, kill_at=step.kill_at
        )
        code = run.wait()
        assert code in ((0, 2) if step.kill_at is None else (0, 2, -9)), run.output
        if code == 0:
            self.settled.add(step.cache)
        self._note(step.cache, before)

    def _prepare(self, step: Step) -> None:
        before = self.marks()
        run = self.nursery.start("prepare", self.specs[step.cache], self.volume, kill_at=step.kill_at, program=PROGRAM)
        assert run.wait() in ((0, 1, 3) if step.kill_at is None else (0, 1, 3, -9)), run.output
        assert {path: self.marks()[path] for path in before} == before, "nothing is changed or removed"
        self._note(step.cache, before)

    def _note(self, cache: str, before: Mapping[str, Mark]) -> None:
        for path, mark in self.marks().items():
            if before.get(path) != mark:
                self.came_with[path] = cache, mark
                self.foreign.discard(path)

    def prune(self, step: Step) -> int:
        """Its exit code, if nothing went that must not."""
        before, complete = self.marks(), {name: self.complete(name) for name in self.settled}
        prepared = {name for name in self.settled if self.is_prepared(name)}
        run = self.nursery.start("prune", self.specs[step.cache], self.volume, "--json", kill_at=step.kill_at)
        code = run.wait()
        assert code == (0 if step.kill_at is None else code), run.output
        after = self.marks()
        assert {path: before[path] for path in after} == after, "nothing is changed or made"
        removed = before.keys() - after.keys()
        assert all(self.came_with.get(path) == (step.cache, before[path]) for path in removed), removed
        assert not removed & self.foreign
        for name in self.settled:
            assert self.complete(name) >= complete[name], (name, removed)
        assert prepared <= {name for name in self.settled if self.is_prepared(name)}, removed
        if code == 0:
            self._nothing_is_left(step.cache, after)
            assert self.status(step.cache)["bytesUnused"] == 0
        return code

    def _nothing_is_left(self, cache: str, there: Mapping[str, Mark]) -> None:
        """Of files that came with this cache and that neither its manifest nor a receipt can need."""
        directories = {each["path"] for each in self.specs[cache]["spec"]["models"]}
        named = {path for receipt in self.receipts() for path in receipt}
        for path, mark in there.items():
            if self.came_with.get(path) == (cache, mark) and path not in self.foreign:
                assert path.split("/")[0] in directories or path in named, path
        if self.complete(cache) == {each["name"] for each in self.specs[cache]["spec"]["models"]}:
            pinned = {path for path, (owner, mark) in self.came_with.items() if owner == cache and path in there}
            fresh = {path for path in pinned - self.foreign if there[path] == self.came_with[path][1]}
            assert fresh <= named | self.pinned(), fresh - named
            texts = [json.loads(each.read_text()) for each in (self.volume / ".modelcache/receipts").glob("*")]
            known = {(each["path"], each["digest"]) for each in texts if "preparedFrom" not in each}
            own = [each for each in texts if each["cache"] == cache and "preparedFrom" in each]
            assert all(each["preparedFrom"].items() <= known for each in own), "a copy of other content is left"

    def pinned(self) -> set[str]:
        """What a sync of a commit that was begun would need."""
        found = set()
        for each in (self.volume / ".modelcache/pins").glob("*"):
            paths = [file["path"] for file in json.loads(each.read_text())["files"]]
            found |= {f"{directory}/{path}" for directory in ("it", "it2", "other") for path in paths}
        return found

    def receipts(self) -> Iterator[set[str]]:
        for each in (self.volume / ".modelcache/receipts").glob("*"):
            data = json.loads(each.read_text())
            yield {file["path"] for file in data["files"]} | {link["at"] for link in data["links"]}

    def marks(self) -> dict[str, Mark]:
        found = {}
        for path in self.volume.rglob("*"):
            relative = path.relative_to(self.volume)
            if relative.parts[0] != ".modelcache" and (path.is_symlink() or path.is_file()):
                state = path.lstat()
                found[str(relative)] = (state.st_ino, state.st_mtime_ns, state.st_size)
        return found

    def is_prepared(self, cache: str) -> bool:
        """Whether a run would find the copy of this cache's models done."""
        path = self.volume.with_name("spec.json")
        path.write_text(json.dumps(self.specs[cache]))
        run = preparation(Volume(str(self.volume)), read_manifest(str(path)))
        return run is not None and run.is_done()

    def status(self, cache: str) -> Any:
        return run_command("status", self.specs[cache], self.volume, "--json").report

    def complete(self, cache: str) -> set[str]:
        return {each["name"] for each in self.status(cache)["models"] if each["complete"]}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Nursery]]:
    """The hub's folder, and where commands are started."""
    folder = tmp_path_factory.mktemp("prune")
    (folder / "hub").mkdir()
    with LocalHub(folder / "hub") as hub, Nursery(hub.endpoint, folder) as nursery:
        yield folder / "hub", nursery


@contextmanager
def world(ground: tuple[Path, Nursery]) -> Iterator[World]:
    root, nursery = ground
    for each in root.iterdir():
        shutil.rmtree(each)
    moving = RepoBuilder(root, "owner/moving")
    moving.commit(COMMITS[0])
    RepoBuilder(root, "owner/other").commit(OTHER)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        volume = Path(folder) / "volume"
        volume.mkdir()
        yield World(nursery, volume, moving)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=3, max_size=9))
def test_no_file_that_is_needed_is_removed_and_nothing_unused_is_left(
    ground: tuple[Path, Nursery], steps: list[Step]
) -> None:
    with world(ground) as made:
        for step in steps:
            made.take(step)
        for cache in made.specs:
            made.take(Step("prune", cache))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(3))
def test_a_prune_killed_before_any_single_change_is_continued(ground: tuple[Path, Nursery], part: int) -> None:
    with world(ground) as made:
        made.take(Step("sync", "first", 2))
        made.take(Step("sync", "second", 1))
        saved = made.volume.with_name("saved")
        shutil.copytree(made.volume, saved, symlinks=True)
        made.specs["first"] = manifest(*VARIANTS[3], name="first")
        for number in itertools.count(part + 1, 3):
            shutil.rmtree(made.volume)
            shutil.copytree(saved, made.volume, symlinks=True)
            made.came_with = {path: ("first", mark) for path, mark in made.marks().items()}
            ended = made.prune(Step("prune", "first", kill_at=number)) == 0
            made.prune(Step("prune", "first"))
            assert sorted(made.marks()) == ["it/a.json", "other/a.json", "other/index.json"]
            if ended:
                assert number > 15, "a prune makes more changes than this; is the kill in its way?"
                return
