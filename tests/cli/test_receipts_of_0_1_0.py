"""Volumes of version 0.1.0: the first sync adds what their receipts lack, and a rollback finds all it needs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from init_sync.core.receipt import Receipt
from init_sync.volume.layout import read_json, write_json
from init_sync.volume.lock import VolumeLock
from init_sync.volume.volume import Volume
from support.hub import LocalHub
from support.release_0_1_0 import FILE_KEYS, KEYS, downgrade, is_unchanged, read_receipt
from support.sync import run_command, run_sync

SMALL_BYTES = 3 + 2 + 3 + 11
"""Of the files that the hub lists by git's id."""


@pytest.fixture
def old(whole: Path) -> Path:
    """A complete volume as 0.1.0 left it, long enough ago."""
    downgrade(whole)
    return whole


def receipts(volume: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (volume / ".modelcache/receipts").iterdir()]
    return {each["model"]: each for each in found}


def without_cache(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in each.items() if key not in ("cache", "check")}
        for name, each in found.items()
    }


def digests(report: dict[str, Any]) -> dict[str, str | None]:
    return {model["name"]: model["digest"] for model in report["models"]}


def test_0_1_0_reads_what_this_version_writes_and_would_hash_nothing(spec: dict[str, Any], whole: Path) -> None:
    paths = list((whole / ".modelcache/receipts").iterdir())
    assert len(paths) == 3
    for path in paths:
        found = read_receipt(path)
        assert found is not None
        requirement, files = found
        assert path.name.endswith(f"-{requirement[:16]}.json")
        assert files
        assert all(is_unchanged(whole, file) for file in files)


def test_the_format_number_stays_and_keys_are_only_added(whole: Path) -> None:
    for receipt in receipts(whole).values():
        assert receipt["format"] == 1
        assert set(receipt) >= {*KEYS, "check", "digest"}
        assert all(set(file) >= set(FILE_KEYS) for file in receipt["files"])
        assert all(file["id"].startswith("sha256:") != ("sha256" in file) for file in receipt["files"])


def test_the_first_sync_hashes_the_small_files_once_and_asks_no_hub(
    spec: dict[str, Any], whole: Path, hub: LocalHub
) -> None:
    before = receipts(whole)
    downgrade(whole)
    first, second = (run_sync(spec, whole, hub) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert (first.report["bytesVerified"], second.report["bytesVerified"]) == (SMALL_BYTES, 0)
    assert hub.requests == []
    assert without_cache(receipts(whole)) == without_cache(before)
    assert not any("cache" in each for each in receipts(whole).values()), "whose they are, nobody can tell"
    assert digests(first.report) == digests(second.report) == {name: each["digest"] for name, each in before.items()}


def test_files_that_lie_beside_a_link_are_told_from_files_of_the_repository(
    spec: dict[str, Any], old: Path, hub: LocalHub
) -> None:
    assert run_sync(spec, old, hub).returncode == 0
    assert receipts(old)["base"]["replaced"] == ["base/index.json_old"]
    assert "replaced" not in receipts(old)["multitalk"]


def test_without_pins_nobody_can_tell_them_apart_so_that_digest_stays_unknown(
    spec: dict[str, Any], old: Path, hub: LocalHub
) -> None:
    shutil.rmtree(old / ".modelcache/pins")
    done = run_sync(spec, old, hub)
    assert done.returncode == 0
    assert {name for name, each in digests(done.report).items() if each is None} == {"base"}


@pytest.mark.parametrize("arguments", [("status", "--json"), ("verify",)], ids=" ".join)
def test_looking_adds_nothing(arguments: tuple[str, ...], spec: dict[str, Any], old: Path) -> None:
    before = receipts(old)
    verb, *options = arguments
    done = run_command(verb, spec, old, *options)
    assert done.returncode == 0
    assert receipts(old) == before
    assert set(digests(done.report).values() if done.report else [None]) == {None}


def test_a_sync_does_not_wait_for_another_one_to_add_it(spec: dict[str, Any], old: Path, hub: LocalHub) -> None:
    before = receipts(old)
    lock = VolumeLock(Volume(str(old)))
    assert lock.acquire(lambda _: None, lambda: False)
    try:
        began = time.monotonic()
        done = run_sync(spec, old, hub)
        assert time.monotonic() - began < 10
    finally:
        lock.release()
    assert done.returncode == 0
    assert set(digests(done.report).values()) == {None}
    assert receipts(old) == before
    assert None not in digests(run_sync(spec, old, hub).report).values()


def test_a_small_file_that_is_not_what_its_receipt_says_leaves_the_receipt_alone(
    spec: dict[str, Any], old: Path, hub: LocalHub
) -> None:
    file = old / "wav2vec/config.json"
    state = file.stat()
    file.write_bytes(b"[]\n")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    before = receipts(old)["wav2vec"]
    done = run_sync(spec, old, hub)
    assert done.returncode == 0, "a stat does not show it, as ever"
    assert digests(done.report)["wav2vec"] is None
    assert receipts(old)["wav2vec"] == before


def test_a_model_that_is_fetched_beside_old_receipts_completes_them_too(
    spec: dict[str, Any], old: Path, hub: LocalHub
) -> None:
    (old / "multitalk/index.json").unlink()
    done = run_sync(spec, old, hub)
    assert done.returncode == 0, done.stderr
    assert None not in digests(done.report).values()
    assert hub.bytes_sent == 11


def test_a_changed_manifest_takes_over_what_old_receipts_vouch_for(
    spec: dict[str, Any], old: Path, hub: LocalHub
) -> None:
    spec["spec"]["models"][0]["include"] = ["*"]
    done = run_sync(spec, old, hub)
    assert done.returncode == 0, done.stderr
    assert hub.bytes_sent == 0
    assert done.report["bytesVerified"] == SMALL_BYTES
    assert None not in digests(done.report).values()


def test_a_file_whose_recorded_sha256_is_another_is_damaged_even_if_git_would_call_it_the_same(
    spec: dict[str, Any], whole: Path, hub: LocalHub
) -> None:
    """Nobody can make two such files today; git's id is a SHA-1, so the day may come."""
    path = next((whole / ".modelcache/receipts").glob("wav2vec-*.json"))
    receipt = Receipt.from_json(read_json(Volume(str(whole)), f".modelcache/receipts/{path.name}"))
    small, large = receipt.files
    forged = receipt._replace(files=(small._replace(sha256="0" * 64), large)).with_digest()
    write_json(Volume(str(whole)), f".modelcache/receipts/{path.name}", forged.to_json())
    os.utime(whole / small.path)
    assert "wav2vec/config.json: ChecksumMismatch" in run_command("verify", spec, whole).stdout
