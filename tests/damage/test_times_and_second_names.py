"""Wrong content behind times that are too coarse to show it, and under names that lead to one another."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from support.linked_volume import AUDIO, BASE, SHARD, SPEC, WHOLE, LinkedVolume, flip, keeping_mtime

MS, S = 1_000_000, 1_000_000_000
NOON = 1_700_000_000 * S


def settle(site: LinkedVolume, mtime: int, written_after: int) -> None:
    """The file and its receipt have these times, and nothing else is new."""
    os.utime(site.volume / SHARD, ns=(mtime, mtime))
    site.sync()
    for receipt in site.receipts():
        os.utime(receipt, ns=(mtime + written_after, mtime + written_after))


@pytest.mark.parametrize("mtime", [NOON + 5 * MS, NOON], ids=["fine clock", "whole seconds"])
@pytest.mark.parametrize("written_after", [0, 19 * MS])
def test_a_change_of_one_size_within_one_step_of_the_clock_is_found(
    site: LinkedVolume, mtime: int, written_after: int
) -> None:
    """A file that is as young as its receipt may have been written after it was verified, as with git's index."""
    settle(site, mtime, written_after)
    keeping_mtime(flip)(site.volume / SHARD)
    assert f"{SHARD}: ChecksumMismatch" in site.verify(code=1)
    site.repaired(SHARD)


@pytest.mark.parametrize(
    ("written_after", "found"), [(1 * S, True), (2 * S - 1, True), (2 * S, False), (-1 * S, True), (-2 * S, False)]
)
def test_whole_seconds_may_be_those_of_a_clock_with_steps_of_two(
    site: LinkedVolume, written_after: int, found: bool
) -> None:
    settle(site, NOON, written_after)
    keeping_mtime(flip)(site.volume / SHARD)
    site.verify(code=1 if found else 0)
    site.verify("--deep", code=1)


def test_a_right_file_that_is_as_young_as_its_receipt_is_hashed_once(site: LinkedVolume) -> None:
    settle(site, NOON, 0)
    report = site.volume.parent / "report.json"
    for hashed in (len(WHOLE[SHARD]), 0):
        site.sync(SPEC, "--report", str(report))
        assert json.loads(report.read_text())["bytesVerified"] == hashed
    assert site.hub.count() == 0


def test_a_file_is_not_taken_over_from_a_receipt_as_young_as_itself(site: LinkedVolume) -> None:
    """The manifest has changed, so the receipt is only good for what it says of single files."""
    settle(site, NOON, 0)
    keeping_mtime(flip)(site.volume / SHARD)
    models = [dict(each) for each in SPEC["spec"]["models"]]
    models[0]["exclude"] = ["nothing"]
    changed = {**SPEC, "spec": {"models": models}}
    site.sync(changed)
    assert site.hub.bytes_sent == len(WHOLE[SHARD])
    site.verify("--deep", code=0, spec=changed)


def test_content_that_was_written_through_a_second_name_is_found(site: LinkedVolume) -> None:
    second = site.volume / "second"
    second.hardlink_to(site.volume / SHARD)
    flip(second)
    assert f"{SHARD}: ChecksumMismatch" in site.verify(code=1)
    site.repaired(SHARD)
    assert second.read_bytes() != WHOLE[SHARD], "the other name is nobody's business"


def test_a_link_to_other_content_in_place_of_a_file_is_found_and_its_target_left_alone(site: LinkedVolume) -> None:
    other = site.volume / "other"
    other.write_bytes(bytes(len(WHOLE[SHARD])))
    (site.volume / SHARD).unlink()
    (site.volume / SHARD).symlink_to(other)
    assert f"{SHARD}: ChecksumMismatch" in site.verify(code=1)
    site.sync()
    assert site.whole()
    assert not (site.volume / SHARD).is_symlink()
    assert other.read_bytes() == bytes(len(WHOLE[SHARD]))


@pytest.mark.parametrize("target", ["base", "{volume}/base"], ids=["relative", "absolute"])
def test_a_model_directory_that_became_a_link_into_another_is_refused_and_harms_nothing(
    site: LinkedVolume, target: str
) -> None:
    shutil.rmtree(site.volume / "addon")
    (site.volume / "addon").symlink_to(target.format(volume=site.volume))
    site.verify(code=1)
    said = site.sync(code=2).splitlines()[-1]
    assert "PathConflict" in said
    assert f"addon/{AUDIO}" in said
    assert f"base/{AUDIO}" in said
    assert site.hub.bytes_sent == 0
    shards = [path for path in BASE if path.startswith("shard")]
    assert [path for path in shards if (site.volume / "base" / path).read_bytes() != BASE[path]] == []


def test_a_model_directory_that_became_a_link_to_a_spoiled_copy_is_repaired_there(
    site: LinkedVolume, volume: Path
) -> None:
    (volume / "base").rename(volume / "moved")
    (volume / "base").symlink_to("moved")
    flip(volume / "moved/shard-1.safetensors")
    assert f"{SHARD}: ChecksumMismatch" in site.verify(code=1)
    site.sync()
    assert site.hub.bytes_sent == len(WHOLE[SHARD])
    assert (volume / "moved/shard-1.safetensors").read_bytes() == WHOLE[SHARD]
    assert (volume / "base").is_symlink()
    site.verify("--deep", code=0)
