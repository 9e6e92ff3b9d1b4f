"""SIGKILL, before every single change of a volume: nothing half-written is ever taken for whole, and it is continued.

After each kill ``verify`` is asked, and every file is compared byte for byte with the hub's, whatever it says. The next
run must end complete. Kills at random instants, among other trouble, are in tests/reliability.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.kill_lab import KIB, MIB, PER_CONNECTION_BYTES, Lab, Release, laboratory, noise
from support.sync import manifest, model, tree
from support.waiting import eventually


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with laboratory(tmp_path_factory.mktemp("kill")) as made:
        yield made


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
    for number in itertools.count(part + 1, SLICES):
        volume = lab.folder / f"small-{number}"
        volume.mkdir()
        killed = lab.nursery.start("sync", small.spec, volume, "--connections", "1", kill_at=number)
        code = killed.wait()
        lab.audit(volume, small)
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
                lab.audit(volume, small)
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


@pytest.mark.slow
@pytest.mark.timeout(180)
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
        eventually(lambda: hub.bytes_sent >= size // 2 + 28 * MIB, "half of the file")
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
