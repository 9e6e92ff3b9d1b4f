"""``init-sync plan``: what a sync would do, printed; nothing is written and nothing is tried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from init_sync.app.plan_command import fit
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Blob, RequiredFile
from init_sync.sync.plan import Action, ModelPlan, PlannedFile, SyncPlan
from init_sync.volume.conflicts import Conflict
from support.hub import Fault, LocalHub, RepoBuilder
from support.sync import Result, environment, manifest, model, run_command, run_sync, tree

SMALL = {"config.json": 9, "model.safetensors": 1 << 20, "vocab.txt": 8}


def plan(spec: dict[str, Any], volume: Path, hub: LocalHub | None, *arguments: str) -> Result:
    return run_command("plan", spec, volume, *arguments, env={"HF_ENDPOINT": hub.endpoint} if hub else None)


def actions(result: Result, name: str = "it") -> dict[str, str]:
    (found,) = [each for each in result.report["models"] if each["name"] == name]
    return {each["path"]: each["action"] for each in found["files"]}


@pytest.fixture
def spec(repo: RepoBuilder) -> dict[str, Any]:
    return manifest(model("it", repo.name))


def test_of_an_empty_volume_everything_is_fetched(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    result = plan(spec, volume, hub, "--json")
    assert result.returncode == 0
    assert actions(result) == {f"it/{path}": "fetch" for path in SMALL}
    total = sum(SMALL.values())
    assert result.report["bytesTotal"] == result.report["bytesToFetch"] == total
    assert (result.report["cache"], result.report["filesToFetch"], result.report["conflicts"]) == ("cache", 3, [])
    (only,) = result.report["models"]
    assert len(only["commit"]) == 40
    assert (only["filesTotal"], only["bytesTotal"], only["bytesToFetch"], only["chosen"]) == (3, total, total, {})
    assert {each["path"]: each["size"] for each in only["files"]} == {f"it/{path}": n for path, n in SMALL.items()}


def test_nothing_is_written_not_even_a_pin(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    assert plan(spec, volume, hub).returncode == 0
    assert list(volume.iterdir()) == []
    assert hub.bytes_sent == 0


def test_a_sync_does_what_the_plan_said(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    """Of a volume with one file right, one of the right size, and one missing."""
    assert run_sync(spec, volume, hub).returncode == 0
    (volume / "it/config.json").write_bytes(b'{"b": 2}\n')
    (volume / "it/vocab.txt").unlink()
    planned = plan(spec, volume, hub, "--json")
    assert actions(planned) == {"it/config.json": "adopt", "it/model.safetensors": "keep", "it/vocab.txt": "fetch"}
    assert planned.report["bytesToFetch"] == SMALL["vocab.txt"]
    done = run_sync(spec, volume, hub)
    assert done.returncode == 0
    assert (
        done.report["bytesFetched"] == SMALL["vocab.txt"] + SMALL["config.json"]
    )  # what was adopted had other content
    complete = plan(spec, volume, None, "--json")
    assert complete.returncode == 0, "a complete cache needs no hub"
    assert set(actions(complete).values()) == {"keep"}
    assert complete.report["bytesToFetch"] == 0


def test_links_are_planned_too(repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
    linked = manifest(model("it", repo.name, links=[{"file": "vocab.txt", "at": "elsewhere/vocab.txt"}]))
    assert actions(plan(linked, volume, hub, "--json"))["elsewhere/vocab.txt"] == "link"
    assert run_sync(linked, volume, hub).returncode == 0
    assert actions(plan(linked, volume, None, "--json"))["elsewhere/vocab.txt"] == "keep"


def test_without_a_volume_it_is_the_plan_for_an_empty_one(spec: dict[str, Any], tmp_path: Path, hub: LocalHub) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))
    line = [sys.executable, "-m", "init_sync", "plan", "--spec", str(path), "--json"]
    done = subprocess.run(line, env=environment(hub), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["filesToFetch"] == 3


def test_a_table_for_people_names_files_and_sizes(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    lines = plan(spec, volume, hub).lines
    assert lines[0].split() == ["MODEL", "COMMIT", "FILES", "SIZE", "TO", "DOWNLOAD"]
    assert "3 fetch" in lines[1]
    assert any(line.split() == ["fetch", "1.0", "MiB", "it/model.safetensors"] for line in lines)
    assert lines[-1] == "cache: 1.0 MiB to download in 3 files"


class TestExitCodes:
    def test_1_when_the_hub_does_not_answer(self, spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
        hub.add_fault(Fault("status", status=503, retry_after=3600))
        result = plan(spec, volume, hub)
        assert result.returncode == 1
        assert "HubUnreachable" in result.stderr

    def test_2_for_a_bad_manifest(self, volume: Path) -> None:
        assert plan(manifest(model("it", "no/such/name")), volume, None).returncode == 2

    def test_2_for_a_conflict_which_is_printed(self, repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
        (volume / "real").mkdir()
        (volume / "alias").symlink_to("real")
        both = manifest(model("a", repo.name, path="real"), model("b", repo.name, path="alias"))
        result = plan(both, volume, hub, "--json")
        assert result.returncode == 2
        assert "PathConflict" in result.stderr
        assert all("real/" in each and "alias/" in each for each in result.report["conflicts"])
        assert tree(volume) == {}

    def test_2_for_too_little_room(self, tmp_path: Path, volume: Path, hub: LocalHub) -> None:
        huge = {"w.safetensors": b"x"}
        RepoBuilder(tmp_path / "hub", "owner/huge").commit(huge)
        lfs = {"oid": "a" * 64, "size": 1 << 60, "pointerSize": 135}
        fields = {"size": 1 << 60, "lfs": lfs}
        hub.add_fault(Fault("listed_as", match=("tree",), names="w.safetensors", fields=fields))
        result = plan(manifest(model("it", "owner/huge")), volume, hub)
        assert result.returncode == 2
        assert "DiskFull" in result.stderr

    def test_2_for_a_volume_that_is_not_there(self, spec: dict[str, Any], tmp_path: Path, hub: LocalHub) -> None:
        result = plan(spec, tmp_path / "nowhere", hub)
        assert result.returncode == 2
        assert "does not exist" in result.stderr


class TestReport:
    def test_it_has_everything_but_the_files(
        self, spec: dict[str, Any], volume: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        result = plan(spec, volume, hub, "--json", "--report", str(tmp_path / "plan.json"))
        report = json.loads((tmp_path / "plan.json").read_text())
        models = [{key: value for key, value in each.items() if key != "files"} for each in result.report["models"]]
        assert report == {**result.report, "models": models}

    @pytest.mark.parametrize("count", [1, 30, 100])
    def test_it_fits_a_termination_message_however_many_models_there_are(self, count: int) -> None:
        file = RequiredFile("a" * 900, "a", "o/r", "c", 5, "sha256:00")
        models = tuple(
            ModelPlan(f"model-{n:03d}-{'x' * 50}", "c" * 40, {}, (PlannedFile(file.path, 5, Action.FETCH),), 5)
            for n in range(count)
        )
        conflicts = tuple(Conflict(None, Reason.PATH_CONFLICT, "x" * 3000) for _ in range(count))
        blobs = (Blob(file.content_id, 5, (file.path,), file),)
        text = fit(SyncPlan("cache", models, blobs, 5, 1, conflicts))
        assert len(text.encode()) < 4096
        assert json.loads(text)["bytesToFetch"] == 5
