"""SIGKILL, everywhere: nothing half-written is ever taken for whole, and hardly anything is fetched twice.

After each kill ``verify`` is asked, and every file is compared byte for byte with the hub's, whatever it says. The next
run must end complete. MODELCACHE_KILL_TRIALS sets the number of random trials, 200 unless set; each trial is a function
of its number alone.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.crash import Nursery, Run
from support.hub import LocalHub, RepoBuilder
from support.sync import manifest, model, tree, wait_until

MIB = 1 << 20
KIB = 1 << 10
TRIALS = int(os.environ.get("MODELCACHE_KILL_TRIALS", "200"))
BATCHES = 10
PER_CONNECTION_BYTES = 8 * MIB
"""What a kill may cost at most, as the design promises."""

Files = dict[str, bytes]


def noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@cache
def first_commit() -> Files:
    twin = noise("twin", 700 * KIB)
    return {
        "config.json": b'{"layers": 2}\n',
        "empty.txt": b"",
        "one.txt": b"1",
        "diffusion/index.json": noise("base index", 5000),
        "diffusion/shard-1.safetensors": noise("shard 1", 12 * MIB + 12345),
        "diffusion/shard-2.safetensors": noise("shard 2", 3 * MIB),
        "twin-a.bin": twin,
        "twin-b.bin": twin,
    }


@cache
def second_commit() -> Files:
    changed = {"diffusion/shard-2.safetensors": noise("shard 2, better", 2 * MIB + 1), "config.json": b"{}\n"}
    return {**first_commit(), **changed, "new.bin": noise("new", 1 * MIB)}


ADDON = {"audio.safetensors": noise("audio", 600 * KIB), "index.json": noise("joined index", 6000)}
LINKS = [
    {"file": "audio.safetensors", "at": "base/diffusion/audio.safetensors"},
    {"file": "index.json", "at": "base/diffusion/index.json"},
]


def on_volume(base: Files) -> Files:
    """Every path on a complete volume, links followed."""
    files = {f"base/{path}": content for path, content in base.items()}
    files["base/diffusion/index.json_old"] = files.pop("base/diffusion/index.json")
    files |= {f"addon/{path}": content for path, content in ADDON.items()}
    return files | {str(link["at"]): ADDON[link["file"]] for link in LINKS}


@dataclass(frozen=True)
class Release:
    """A manifest pinned to one commit, and what a complete volume holds then."""

    spec: Mapping[str, Any]
    files: Files

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.files)


@dataclass
class Lab:
    """A hub, the process that starts commands, and complete volumes to begin with."""

    hub: LocalHub
    nursery: Nursery
    folder: Path
    old: Release
    new: Release
    golden: Path

    def audit(self, volume: Path, release: Release, allowed: tuple[Files, ...]) -> None:
        """No name holds anything but a whole file, and ``verify`` agrees with the bytes."""
        found = tree(volume)
        for path, content in found.items():
            assert any(files.get(path) == content for files in allowed), f"{path} holds {len(content)} strange bytes"
        verdict = self.nursery.run("verify", release.spec, volume)
        code = verdict.wait()
        assert code in (0, 1), verdict.output
        if code == 0:
            assert {path: found.get(path) for path in release.files} == release.files

    def finish(self, volume: Path, release: Release) -> None:
        """The next run ends complete, and the one after that has nothing to do."""
        last = self.nursery.run("sync", release.spec, volume)
        assert last.wait() == 0, last.output
        found = tree(volume)
        assert {path: found.get(path) for path in release.files} == release.files
        sent, requests = self.hub.bytes_sent, self.hub.count()
        again = self.nursery.run("sync", release.spec, volume)
        assert again.wait() == 0, again.output
        assert "All models already complete!" in again.output.splitlines()
        assert (self.hub.bytes_sent, self.hub.count()) == (sent, requests)
        assert list((volume / ".modelcache/partial").glob("*.part")) == []


def release(commit: str, base: Files) -> Release:
    base_model = model("base", "owner/base", revision=commit)
    return Release(manifest(base_model, model("addon", "owner/addon", links=LINKS)), on_volume(base))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("kill")
    base = RepoBuilder(folder / "hub", "owner/base")
    old = release(base.commit(first_commit()), first_commit())
    new = release(base.commit(second_commit()), second_commit())
    RepoBuilder(folder / "hub", "owner/addon").commit(ADDON)
    # A small send buffer and a rate below what a client reads: what the hub has sent, the client has got.
    with (
        LocalHub(folder / "hub", rate_per_connection=64 * MIB, send_buffer=64 * KIB) as hub,
        Nursery(hub.endpoint, folder) as nursery,
    ):
        golden = folder / "golden"
        golden.mkdir()
        made = Lab(hub, nursery, folder, old, new, golden)
        made.finish(golden, old)
        yield made


@dataclass
class Trial:
    """A volume in some state, killed a few times on its way to the goal."""

    lab: Lab
    volume: Path
    rng: random.Random
    goal: Release
    allowed: tuple[Files, ...]
    connections: int
    wanted_bytes: int
    end_bytes: int = 0
    """What the hub will have sent by the end, if nothing is fetched twice."""

    def __post_init__(self) -> None:
        self.end_bytes = self.lab.hub.bytes_sent + self.wanted_bytes

    def arguments(self) -> tuple[str, ...]:
        return ("--connections", str(self.connections))

    def kill_once(self) -> bool:
        """Start a run and kill it somewhere; whether it got killed rather than done."""
        if self.rng.random() < 0.5:
            run = self.start(kill_at=self.rng.randint(1, 100))
        else:
            run = self.start()
            left = max(0, self.end_bytes - self.lab.hub.bytes_sent)
            target = self.lab.hub.bytes_sent + self.rng.randint(0, left)
            wait_until(lambda: self.lab.hub.bytes_sent >= target or is_over(run), "bytes or the end")
            run.kill()
        code = run.wait()
        assert code in (0, -signal.SIGKILL), run.output
        self.lab.audit(self.volume, self.goal, self.allowed)
        return code != 0

    def start(self, kill_at: int | None = None) -> Run:
        return self.lab.nursery.start("sync", self.goal.spec, self.volume, *self.arguments(), kill_at=kill_at)


def is_over(run: Run) -> bool:
    """Dead, though still remembered by the process that started it."""
    stat = Path(f"/proc/{run.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] in "ZX"


def begin(lab: Lab, seed: int) -> Trial:
    rng = random.Random(seed)
    scenario = ("fresh", "fresh", "repair", "update")[seed % 4]
    volume = lab.folder / f"volume-{seed}"
    connections = rng.choice((1, 2, 4))
    if scenario == "fresh":
        volume.mkdir()
        wanted = sum(map(len, [*first_commit().values(), *ADDON.values()])) - len(first_commit()["twin-a.bin"])
        return Trial(lab, volume, rng, lab.old, (lab.old.files,), connections, wanted)
    shutil.copytree(lab.golden, volume, symlinks=True, copy_function=shutil.copy2)
    if scenario == "update":
        allowed = (lab.old.files, lab.new.files)
        fetched = ("diffusion/shard-2.safetensors", "config.json", "new.bin")
        wanted = sum(len(second_commit()[path]) for path in fetched)
        return Trial(lab, volume, rng, lab.new, allowed, connections, wanted)
    damaged = rng.choice(("base/diffusion/shard-1.safetensors", "addon/audio.safetensors", "base/config.json"))
    spoiled = flipped(lab.old.files[damaged])
    with (volume / damaged).open("r+b") as file:
        file.write(spoiled)
    links = {str(link["at"]): spoiled for link in LINKS if damaged == f"addon/{link['file']}"}
    allowed = (lab.old.files, {damaged: spoiled, **links})
    return Trial(lab, volume, rng, lab.old, allowed, connections, len(spoiled))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_run_killed_at_random_is_never_taken_for_complete_and_is_continued(
    lab: Lab, batch: int, record_property: Any
) -> None:
    refetched: list[int] = []
    total_kills = 0
    for seed in range(batch, TRIALS, BATCHES):
        trial = begin(lab, seed)
        kills = sum(trial.kill_once() for _ in range(trial.rng.randint(1, 5)))
        lab.finish(trial.volume, trial.goal)
        twice = lab.hub.bytes_sent - trial.end_bytes
        assert 0 <= twice <= kills * trial.connections * PER_CONNECTION_BYTES, f"trial {seed}: {twice:,} bytes twice"
        total_kills += kills
        refetched += [twice // kills] if kills else []
        shutil.rmtree(trial.volume)
    assert total_kills * BATCHES >= TRIALS, "most trials must get to kill something"
    if refetched:
        mean = sum(refetched) / len(refetched)
        record_property("refetched_bytes_per_kill_max", max(refetched))
        record_property("refetched_bytes_per_kill_mean", round(mean))
        print(f"fetched twice for each kill: at most {max(refetched) / MIB:.1f} MiB, {mean / MIB:.2f} MiB on average")


SMALL_BASE = {
    "config.json": b"{}\n",
    "empty.txt": b"",
    "index.json": noise("small index", 900),
    "shard.safetensors": noise("small shard", 300 * KIB),
    "twin-a.bin": b"the same",
    "twin-b.bin": b"the same",
}
SMALL_LINK = {"file": "index.json", "at": "base/index.json"}
SMALL_ADDON = {"index.json": noise("small joined index", 1000)}
SMALL = manifest(model("base", "owner/small-base"), model("addon", "owner/small-addon", links=[SMALL_LINK]))
SMALL_FILES = {
    **{f"base/{path}": content for path, content in SMALL_BASE.items()},
    "base/index.json_old": SMALL_BASE["index.json"],
    "base/index.json": SMALL_ADDON["index.json"],
    "addon/index.json": SMALL_ADDON["index.json"],
}
SLICES = 8


@pytest.fixture(scope="module")
def small(lab: Lab) -> Release:
    RepoBuilder(lab.folder / "hub", "owner/small-base").commit(SMALL_BASE)
    RepoBuilder(lab.folder / "hub", "owner/small-addon").commit(SMALL_ADDON)
    return Release(SMALL, SMALL_FILES)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(SLICES))
def test_a_run_killed_before_any_single_change_of_the_volume_is_continued(lab: Lab, small: Release, part: int) -> None:
    """One connection makes the order of changes the same in every run: each of them is tried, writes cut in half."""
    number = part
    while True:
        number += SLICES
        volume = lab.folder / f"small-{number}"
        volume.mkdir()
        killed = lab.nursery.start("sync", small.spec, volume, "--connections", "1", kill_at=number)
        code = killed.wait()
        lab.audit(volume, small, (small.files,))
        lab.finish(volume, small)
        shutil.rmtree(volume)
        if code == 0:
            assert number > 30, "a run makes more changes than this; is the kill in its way?"
            return
        assert code == -signal.SIGKILL, killed.output


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(2))
def test_a_run_killed_while_it_completes_a_volume_after_a_kill_is_continued(
    lab: Lab, small: Release, part: int
) -> None:
    """What the first kill left is a state too in which the second one must not do harm."""
    for first in range(10 + part, 80, 22):
        for second in range(5, 60, 17):
            volume = lab.folder / f"twice-{first}-{second}"
            volume.mkdir()
            for number in (first, second):
                lab.nursery.start("sync", small.spec, volume, "--connections", "1", kill_at=number).wait()
                lab.audit(volume, small, (small.files,))
            lab.finish(volume, small)
            shutil.rmtree(volume)


def test_the_journal_of_a_file_that_is_in_place_is_swept_away_though_killed_before_it_was(
    lab: Lab, small: Release
) -> None:
    """Left alone, it would make a later repair believe that bytes are there which are not."""
    volume = lab.folder / "journal"
    volume.mkdir()
    lab.finish(volume, small)
    empty = "git-sha1:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    (volume / ".modelcache/partial" / f"{empty.replace(':', '-')}.journal").write_text(f"H 1 {empty} 0\n")
    (volume / "base/config.json").unlink()
    lab.finish(volume, small)
    assert list((volume / ".modelcache/partial").iterdir()) == []


def test_a_content_that_belongs_at_two_places_is_fetched_once_though_killed_between_them(lab: Lab) -> None:
    """Once it is whole at one of its places, nothing more of it comes from the hub."""
    twin = noise("large twin", 100 * KIB)
    RepoBuilder(lab.folder / "hub", "owner/twins").commit({"a.bin": twin, "b.bin": twin})
    goal = Release(manifest(model("twins", "owner/twins")), {"twins/a.bin": twin, "twins/b.bin": twin})
    killed_between = 0
    for number in range(1, 60):
        volume = lab.folder / f"twins-{number}"
        volume.mkdir()
        ended = lab.nursery.start("sync", goal.spec, volume, "--connections", "1", kill_at=number).wait()
        there = tree(volume).keys()
        before = lab.hub.bytes_sent
        lab.finish(volume, goal)
        if there:
            assert lab.hub.bytes_sent == before
        killed_between += len(there) == 1
        if ended == 0:
            break
    assert killed_between


@pytest.mark.slow
@pytest.mark.parametrize(
    ("connections", "rate"), [(8, 40 * MIB), (1, 160 * MIB)], ids=["8 connections", "1 connection"]
)
def test_a_large_file_killed_at_half_costs_at_most_eight_mib_for_each_connection(
    tmp_path: Path, record_property: Any, connections: int, rate: int
) -> None:
    size = 256 * MIB
    large = tmp_path / "large"
    with large.open("wb") as file:
        rng = random.Random(3)
        for _ in range(size // MIB):
            file.write(rng.randbytes(MIB))
    RepoBuilder(tmp_path / "hub", "owner/large").commit({"model.safetensors": large}, link=True)
    volume = tmp_path / "volume"
    volume.mkdir()
    spec = manifest(model("large", "owner/large"))
    with (
        LocalHub(tmp_path / "hub", rate_per_connection=rate, send_buffer=64 * KIB) as hub,
        Nursery(hub.endpoint, tmp_path) as nursery,
    ):
        run = nursery.start("sync", spec, volume, "--connections", str(connections))
        # A little past the half, so that with one connection it is in the middle of a piece too.
        wait_until(lambda: hub.bytes_sent >= size // 2 + 28 * MIB, "half of the file")
        run.kill()
        assert run.wait() == -signal.SIGKILL
        assert not (volume / "large/model.safetensors").exists()
        done = nursery.run("sync", spec, volume)
        assert done.wait() == 0, done.output
        twice = hub.bytes_sent - size
    assert (volume / "large/model.safetensors").read_bytes() == large.read_bytes()
    record_property("refetched_bytes", twice)
    print(f"{twice / MIB:.1f} MiB of {size // MIB} MiB fetched twice with {connections} connections")
    assert 0 <= twice <= connections * PER_CONNECTION_BYTES
