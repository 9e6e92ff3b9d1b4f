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

    @pytest.mark.parametrize(
        ("fault", "code", "reason", "words"),
        [
            (Fault("status", status=503, retry_after=3600), 1, "HubUnreachable", "503"),
            (Fault("status", status=429, retry_after=3600), 1, "RateLimited", "429"),
            (Fault("status", status=401, headers={"X-Error-Code": "GatedRepo"}), 2, "GatedRepo", "Request access"),
        ],
        ids=["hub away", "asked too often", "private"],
    )
    def test_it_says_why_there_is_none_as_a_sync_would(
        self, fault: Fault, code: int, reason: str, words: str, spec: dict[str, Any], hub: LocalHub, tmp_path: Path
    ) -> None:
        hub.add_fault(fault)
        done, report = without_volume(spec, hub, tmp_path)
        assert (done.returncode, report["complete"], report["models"][0]["reason"]) == (code, False, reason)
        assert words in report["models"][0]["message"]
        assert reason in done.stderr

    def test_a_wrong_name_and_a_manifest_that_is_none(self, hub: LocalHub, tmp_path: Path) -> None:
        wrong = manifest(model("it", "no/such"))
        done, report = without_volume(wrong, hub, tmp_path)
        assert (done.returncode, report["models"][0]["reason"]) == (2, "RepoNotFound")
        done, report = without_volume({"metadata": {"name": "x"}}, hub, tmp_path)
        assert (done.returncode, report["models"][0]["reason"]) == (2, "InvalidSpec")

    def test_it_names_the_conflict_or_the_lack_of_room(
        self, repo: RepoBuilder, volume: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        (volume / "real").mkdir()
        (volume / "alias").symlink_to("real")
        both = manifest(model("a", repo.name, path="real"), model("b", repo.name, path="alias"))
        plan(both, volume, hub, "--report", str(tmp_path / "plan.json"))
        report = json.loads((tmp_path / "plan.json").read_text())
        assert report["reason"] == "PathConflict"
        assert report["conflicts"][0] in report["message"]


def without_volume(
    spec: dict[str, Any], hub: LocalHub, folder: Path, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """The finished command, and its report."""
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "plan.json").unlink(missing_ok=True)
    files = ["--spec", str(folder / "spec.json"), "--report", str(folder / "plan.json")]
    line = [sys.executable, "-m", "init_sync", "plan", *files, *arguments]
    done = subprocess.run(line, env=environment(hub), capture_output=True, text=True, timeout=60)
    return done, json.loads((folder / "plan.json").read_text())


class TestComparedToPins:
    @pytest.fixture
    def pins(self, spec: dict[str, Any], volume: Path, hub: LocalHub, tmp_path: Path) -> Path:
        path = tmp_path / "pins.json"
        path.write_text(json.dumps(run_sync(spec, volume, hub).report))
        hub.reset_log()
        return path

    def test_nothing_is_to_be_fetched_while_the_branch_stands_still(
        self, spec: dict[str, Any], pins: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        _, report = without_volume(spec, hub, tmp_path, "--refresh", "--compare-to", str(pins))
        assert (report["bytesTotal"], report["bytesToFetch"], report["filesToFetch"]) == (sum(SMALL.values()), 0, 0)
        assert hub.count("resolve") == 0
        assert hub.count("tree") == 1, "the commit is the pinned one, and is listed once"

    def test_only_what_changed_counts_when_it_has_moved(
        self, spec: dict[str, Any], pins: Path, repo: RepoBuilder, hub: LocalHub, tmp_path: Path
    ) -> None:
        repo.commit({"model.safetensors": bytes(range(256)) * 4096, "vocab.txt": b"one\ntwo\nthree\n", "new.txt": b"n"})
        done, report = without_volume(spec, hub, tmp_path, "--refresh", "--compare-to", str(pins), "--json")
        assert (report["bytesToFetch"], report["filesToFetch"]) == (14 + 1, 2)
        assert report["models"][0]["commit"] != json.loads(pins.read_text())["models"][0]["commit"]
        files = {each["path"]: each["action"] for each in json.loads(done.stdout)["models"][0]["files"]}
        assert files == {"it/model.safetensors": "keep", "it/new.txt": "fetch", "it/vocab.txt": "fetch"}

    def test_an_alternative_of_another_revision_is_not_held_against_the_pins(
        self, repo: RepoBuilder, volume: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        repo.commit({"a.bin": b"alternative"}, "refs/pr/1")
        chosen = manifest(
            model("it", repo.name, include=["*.json"], oneOf=[{"file": "a.bin", "revision": "refs/pr/1"}])
        )
        (tmp_path / "pins.json").write_text(json.dumps(run_sync(chosen, volume, hub).report))
        _, report = without_volume(chosen, hub, tmp_path, "--compare-to", str(tmp_path / "pins.json"))
        assert (report["bytesToFetch"], report["models"][0]["chosen"]) == (0, {"a.bin": "refs/pr/1"})

    def test_everything_counts_for_a_model_that_the_pins_do_not_name_and_for_a_commit_that_is_gone(
        self, spec: dict[str, Any], pins: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        report = json.loads(pins.read_text())
        for change in ({"name": "another"}, {"commit": "0" * 40}):
            pins.write_text(json.dumps({**report, "models": [{**report["models"][0], **change}]}))
            done, found = without_volume(spec, hub, tmp_path, "--compare-to", str(pins))
            assert (done.returncode, found["bytesToFetch"]) == (0, sum(SMALL.values()))
        assert "has no commit 000000000000 any more" in done.stderr

    def test_pins_that_are_none_and_pins_beside_a_volume_are_refused(
        self, spec: dict[str, Any], pins: Path, volume: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        pins.write_text("[]")
        done, report = without_volume(spec, hub, tmp_path, "--compare-to", str(pins))
        assert (done.returncode, report["models"][0]["reason"]) == (2, "InvalidSpec")
        assert "--compare-to: " in done.stderr
        beside = plan(spec, volume, hub, "--compare-to", str(pins))
        assert (beside.returncode, beside.stdout) == (2, "")
        assert "without --volume" in beside.stderr
