"""A volume that the code of 0.1.0 wrote, read by this version, and the other way round."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from support.first_release import FirstRelease
from support.hub import Fault, LocalHub, RepoBuilder
from support.outages import ended, partial_bytes
from support.preparing import prepare
from support.sync import Result, manifest, model, run_command, run_sync, start_sync, tree
from support.three_models import LARGE, three_models
from support.waiting import eventually

pytestmark = pytest.mark.slow
STATE = ".modelcache"


@pytest.fixture
def spec(hub: LocalHub, tmp_path: Path) -> dict[str, Any]:
    return three_models(tmp_path / "hub")


def old_sync(release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub, *arguments: str) -> Result:
    done = run_sync(spec, volume, hub, *arguments, env=release.environment)
    assert "Traceback" not in done.stderr
    return done


def fetched(hub: LocalHub) -> int:
    """Bytes since the last time."""
    sent = hub.bytes_sent
    hub.reset_log()
    return sent


def test_the_old_code_is_what_runs(
    first_release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    assert old_sync(first_release, spec, volume, hub).returncode == 0
    assert not (volume / STATE / "volume.json").exists(), "0.1.0 gave volumes no id"


def test_a_volume_of_0_1_0_is_complete_and_nothing_is_asked_of_a_hub(
    first_release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    old_sync(first_release, spec, volume, hub)
    files, _ = tree(volume), fetched(hub)
    for verb in ("status", "verify"):
        assert run_command(verb, spec, volume).returncode == 0
    done = run_sync(spec, volume, hub)
    assert done.returncode == 0
    assert done.report["complete"]
    assert hub.requests == []
    assert tree(volume) == files


def test_after_a_rollback_0_1_0_finds_it_complete_and_loses_nothing_of_this_version(
    first_release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    before = run_sync(spec, volume, hub)
    _ = fetched(hub)
    files, state = tree(volume), receipts(volume)
    done = old_sync(first_release, spec, volume, hub)
    assert (done.returncode, done.report["complete"]) == (0, True)
    assert (hub.requests, tree(volume), receipts(volume)) == ([], files, state)
    after = run_sync(spec, volume, hub)
    assert after.report["volumeId"] == before.report["volumeId"]
    assert [model["digest"] for model in after.report["models"]] == [
        model["digest"] for model in before.report["models"]
    ]
    assert hub.requests == []


def test_after_a_rollback_0_1_0_neither_needs_nor_touches_a_prepared_copy(
    first_release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    run_sync(spec, volume, hub)
    assert prepare(spec, volume) == 0
    _ = fetched(hub)
    files, state = tree(volume), receipts(volume)
    assert any(name.startswith("prepared--") for name in state)
    for arguments in ([], ["--verify", "deep"]):
        done = old_sync(first_release, spec, volume, hub, *arguments)
        assert (done.returncode, done.report["complete"]) == (0, True)
    assert (hub.requests, tree(volume), receipts(volume)) == ([], files, state)
    (volume / "base/config.json").unlink()
    assert old_sync(first_release, spec, volume, hub).returncode == 0
    assert prepare(spec, volume) == 3, "its receipts have no digest"
    assert run_sync(spec, volume, hub).returncode == prepare(spec, volume) == 0
    assert tree(volume) == files
    assert receipts(volume).items() >= {name: state[name] for name in state if name.startswith("prepared--")}.items()


def receipts(volume: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (volume / STATE / "receipts").iterdir()}


def test_a_repair_after_a_rollback_fetches_the_damaged_file_alone(
    first_release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    run_sync(spec, volume, hub)
    _ = fetched(hub)
    files = tree(volume)
    (volume / "base/weights.safetensors").write_bytes(LARGE[::-1])
    assert old_sync(first_release, spec, volume, hub).returncode == 0
    assert (fetched(hub), tree(volume)) == (len(LARGE), files)
    assert run_sync(spec, volume, hub).returncode == 0
    assert fetched(hub) == 0


@pytest.mark.parametrize("direction", ["upgrade", "rollback"])
def test_what_one_version_fetched_in_part_the_other_one_finishes(
    direction: str, first_release: FirstRelease, volume: Path, hub: LocalHub, tmp_path: Path
) -> None:
    content = LARGE * 24
    RepoBuilder(tmp_path / "hub", "owner/large").commit({"weights.safetensors": content})
    spec = manifest(model("large", "owner/large"))
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=4 * len(LARGE)))
    first, second = (first_release.environment, {}) if direction == "upgrade" else ({}, first_release.environment)
    with ended(start_sync(spec, volume, hub, "--connections", "1", env=first)) as process:
        eventually(lambda: partial_bytes(volume) > 12 * len(LARGE), "half of the file")
        process.terminate()
        process.communicate(timeout=20)
    hub.clear_faults()
    _ = fetched(hub)
    done = run_sync(spec, volume, hub, env=second)
    assert done.returncode == 0, done.stderr
    assert fetched(hub) < len(content) - 3 * len(LARGE)
    assert (volume / "large/weights.safetensors").read_bytes() == content


def test_0_1_0_refuses_what_it_does_not_know_in_a_manifest_before_it_touches_anything(
    first_release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    digest = run_sync(spec, volume, hub).report["models"][0]["digest"]
    spec["spec"]["models"][0]["digest"] = digest
    done = old_sync(first_release, spec, volume, hub)
    assert done.returncode == 2
    assert "digest" in done.stderr


def test_a_copy_of_a_volume_of_0_1_0_is_complete_too(
    first_release: FirstRelease, spec: dict[str, Any], volume: Path, hub: LocalHub, tmp_path: Path
) -> None:
    old_sync(first_release, spec, volume, hub)
    _ = fetched(hub)
    copy = shutil.copytree(volume, tmp_path / "copy", symlinks=True)
    assert run_sync(spec, copy, hub).returncode == 0
    assert fetched(hub) == 0
