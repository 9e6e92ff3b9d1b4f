"""``prune``: what syncs of a cache put on the volume and nothing needs any more goes, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from init_sync.app.arguments import Prune
from init_sync.app.prune_command import fit
from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.sync.prune import PruneReport
from init_sync.volume.lock import VolumeLock
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.volume import Volume
from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.release_0_1_0 import downgrade
from support.sync import Result, manifest, model, run_command, run_sync, tree
from support.three_models import LARGE, footprint

Spec = dict[str, Any]


def without(spec: Spec, *names: str) -> Spec:
    """The same cache, with fewer models."""
    models = [each for each in spec["spec"]["models"] if each["name"] not in names]
    return {**spec, "spec": {**spec["spec"], "models": models}}


def prune(spec: Spec, volume: Path, *arguments: str) -> Result:
    return run_command("prune", spec, volume, "--json", *arguments)


def state(volume: Path, folder: str) -> list[str]:
    return sorted(path.name for path in (volume / ".modelcache" / folder).glob("*"))


class TestWhatGoes:
    def test_nothing_of_a_complete_cache(self, spec: Spec, whole: Path) -> None:
        before = tree(whole)
        done = prune(spec, whole)
        assert done.returncode == 0
        figures = {"files": 0, "bytes": 0, "filesRemoved": 0, "bytesFreed": 0}
        told: dict[str, Any] = {
            "cache": "cache",
            "dryRun": False,
            **figures,
            "reason": None,
            "message": "",
            "paths": [],
        }
        assert done.report == told
        assert tree(whole) == before

    def test_a_model_that_the_manifest_no_longer_names_with_its_receipt_and_its_directory(
        self, spec: Spec, whole: Path
    ) -> None:
        done = prune(without(spec, "wav2vec"), whole)
        assert done.returncode == 0
        paths = ["wav2vec/config.json", "wav2vec/model.safetensors"]
        assert (done.report["paths"], done.report["filesRemoved"]) == (paths, 2)
        assert done.report["bytes"] == done.report["bytesFreed"] == len(LARGE) + 3
        assert not (whole / "wav2vec").exists()
        assert [name for name in state(whole, "receipts") if name.startswith("wav2vec")] == []
        assert run_command("verify", without(spec, "wav2vec"), whole).returncode == 0

    def test_a_file_that_the_new_commit_no_longer_has(self, repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
        it = manifest(model("it", repo.name))
        assert run_sync(it, volume, hub).returncode == 0
        repo.commit({"config.json": b'{"a": 2}\n', "new.txt": b"new\n"})
        done = run_sync(it, volume, hub, "--refresh")
        assert (done.returncode, done.report["bytesUnused"]) == (0, len(LARGE) + len(b"one\ntwo\n"))
        assert prune(it, volume).report["paths"] == ["it/model.safetensors", "it/vocab.txt"]
        assert tree(volume).keys() == {"it/config.json", "it/new.txt"}

    def test_a_file_that_include_no_longer_names(self, repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
        assert run_sync(manifest(model("it", repo.name)), volume, hub).returncode == 0
        fewer = manifest(model("it", repo.name, include=["*.json"]))
        assert run_sync(fewer, volume, hub).report["bytesFetched"] == 0
        assert prune(fewer, volume).report["filesRemoved"] == 2
        assert tree(volume).keys() == {"it/config.json"}

    def test_the_alternative_that_was_taken_before(self, repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
        repo.commit({"a.bin": b"first", "b.bin": b"second", "c.json": b"{}"})
        old, new = (manifest(model("it", repo.name, oneOf=[{"file": file}])) for file in ("a.bin", "b.bin"))
        for spec in (old, new):
            spec["spec"]["models"][0]["include"] = ["c.json"]
            assert run_sync(spec, volume, hub).returncode == 0
        assert prune(new, volume).report["paths"] == ["it/a.bin"]

    def test_files_of_a_sync_that_was_killed_though_its_model_was_then_dropped(
        self, repo: RepoBuilder, volume: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        both = manifest(model("it", repo.name), model("other", repo.name))
        with Nursery(hub.endpoint, tmp_path) as nursery:
            number = 20
            while not (volume / "it").is_dir() or not list((volume / "it").iterdir()):
                run = nursery.start("sync", both, volume, "--connections", "1", kill_at=number)
                assert run.wait() == -signal.SIGKILL
                number += 1
        assert prune(without(both, "it"), volume).returncode == 0
        assert not (volume / "it").exists()

    @pytest.mark.parametrize("kind", ["symlink", "hardlink", "copy"])
    def test_links_go_whatever_stands_for_them_and_before_their_target(
        self, kind: str, spec: Spec, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owned = OwnedFiles(Volume(str(volume)), "cache")
        target, link, temporary = volume / "it/a", volume / "other/a", volume / "temporary"
        target.parent.mkdir()
        link.parent.mkdir()
        target.write_bytes(b"content")
        owned.add("it/a", "it/a")
        if kind == "symlink":
            temporary.symlink_to("../it/a")
        else:
            (os.link if kind == "hardlink" else shutil.copy2)(target, temporary)
        owned.add("temporary", "other/a")
        temporary.rename(link)
        done = prune(spec, volume)
        assert done.report["paths"] == (["other/a", "it/a"] if kind == "symlink" else ["it/a", "other/a"])
        assert done.report["bytes"] == done.report["bytesFreed"] == (14 if kind == "copy" else 7)
        assert tree(volume) == {}


class TestWhatStays:
    def test_files_that_were_there_before_the_first_sync(self, repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
        both = manifest(model("it", repo.name), model("other", repo.name))
        (volume / "it").mkdir()
        (volume / "it/config.json").write_bytes(b'{"a": 1}\n')
        assert run_sync(both, volume, hub).returncode == 0
        prune(without(both, "it"), volume)
        assert [path for path in tree(volume) if path.startswith("it/")] == ["it/config.json"]

    def test_files_of_nobody_beside_the_others(self, spec: Spec, whole: Path) -> None:
        (whole / "wav2vec/notes.txt").write_text("mine")
        prune(without(spec, "wav2vec"), whole)
        assert [path for path in tree(whole) if path.startswith("wav2vec/")] == ["wav2vec/notes.txt"]

    @pytest.mark.parametrize(
        "change",
        [os.utime, lambda path: path.write_bytes(b"longer than it was"), lambda path: path.with_name("x").rename(path)],
        ids=["touched", "written to", "replaced"],
    )
    def test_a_file_that_was_changed_since_and_this_is_said(self, change: Any, spec: Spec, whole: Path) -> None:
        changed = whole / "wav2vec/config.json"
        (whole / "wav2vec/x").write_bytes(b"{}\n")
        change(changed)
        done = prune(without(spec, "wav2vec"), whole)
        assert done.report["paths"] == ["wav2vec/model.safetensors"]
        assert "wav2vec/config.json" in done.stderr
        assert changed.exists()

    def test_everything_below_receipts_of_0_1_0(self, spec: Spec, whole: Path) -> None:
        downgrade(whole)
        before = tree(whole)
        assert prune(without(spec, "wav2vec"), whole).report["files"] == 0
        assert tree(whole) == before

    @pytest.mark.parametrize("how", ["synced", "found complete"])
    def test_what_another_cache_on_the_volume_needs_too(
        self, how: str, repo: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        """Found complete, it shares the receipt that the first one wrote."""
        first = manifest(model("it", repo.name), model("other", repo.name))
        fields = {"include": ["*.json"]} if how == "synced" else {}
        second = manifest(model("mine", repo.name, path="it", **fields), name="second")
        for each in (first, second):
            assert run_sync(each, volume, hub).returncode == 0
        prune(without(first, "it"), volume)
        assert run_command("verify", second, volume).returncode == 0
        assert ("it/vocab.txt" in tree(volume)) == (how == "found complete")
        nothing = manifest(model("other", repo.name), name="second")
        assert run_sync(nothing, volume, hub).returncode == 0
        prune(nothing, volume)
        assert prune(without(first, "it"), volume).returncode == 0
        assert [path for path in tree(volume) if path.startswith("it/")] == []

    def test_what_the_receipt_of_another_cache_says_though_the_first_one_fetched_it_again(
        self, repo: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        first, second = (manifest(model("it", repo.name), name=name) for name in ("first", "second"))
        assert run_sync(first, volume, hub).returncode == 0
        repo.commit({"config.json": b"2"})
        assert run_sync(second, volume, hub, "--refresh").returncode == 0
        other = manifest(model("other", repo.name), name="second")
        assert run_sync(other, volume, hub).returncode == 0
        prune(other, volume)
        assert run_command("verify", first, volume).returncode == 0

    def test_a_file_that_a_link_between_directories_leads_to(self, repo: RepoBuilder, volume: Path) -> None:
        (volume / "real").mkdir()
        (volume / "real/a.bin").write_bytes(b"1")
        (volume / "alias").symlink_to("real")
        owned = OwnedFiles(Volume(str(volume)), "cache")
        owned.add("real/a.bin", "real/a.bin")
        unsynced = manifest(model("it", repo.name, path="alias"))
        assert prune(unsynced, volume).report["files"] == 0
        assert (volume / "real/a.bin").exists()

    def test_everything_below_a_model_that_nobody_knows_anything_about(self, spec: Spec, whole: Path) -> None:
        shutil.rmtree(whole / ".modelcache/receipts")
        shutil.rmtree(whole / ".modelcache/pins")
        before = tree(whole)
        assert prune(spec, whole).returncode == 0
        assert tree(whole) == before

    @pytest.mark.parametrize("there", ["a file", "the link"])
    def test_a_link_that_was_there_before_and_what_ours_moved_aside(
        self, there: str, repo: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        link = {"file": "vocab.txt", "at": "shared/vocab.txt"}
        both = manifest(model("it", repo.name, links=[link]), model("other", repo.name))
        (volume / "shared").mkdir()
        if there == "a file":
            (volume / "shared/vocab.txt").write_bytes(b"of a user")
        else:
            (volume / "it").mkdir()
            (volume / "it/vocab.txt").write_bytes(b"one\ntwo\n")
            (volume / "shared/vocab.txt").symlink_to("../it/vocab.txt")
        assert run_sync(both, volume, hub).returncode == 0
        prune(without(both, "it"), volume)
        kept = {path for path in tree(volume) if not path.startswith("other/")}
        assert kept == ({"shared/vocab.txt_old"} if there == "a file" else {"it/vocab.txt", "shared/vocab.txt"})

    def test_pins_and_partial_files(self, spec: Spec, whole: Path) -> None:
        part = whole / ".modelcache/partial" / f"sha256-{'0' * 64}.part"
        part.write_bytes(b"half")
        pins = state(whole, "pins")
        prune(without(spec, "wav2vec"), whole)
        assert (state(whole, "pins"), part.exists()) == (pins, True)

    def test_a_receipt_that_cannot_be_read_keeps_everything(self, spec: Spec, whole: Path) -> None:
        receipt = next((whole / ".modelcache/receipts").glob("base-*"))
        receipt.write_text("{}")
        before = footprint(whole)
        done = prune(without(spec, "wav2vec"), whole)
        assert (done.returncode, done.report["reason"]) == (2, "NotVerified")
        assert receipt.name in done.stderr
        assert {path for path, mark in footprint(whole).items() if before.get(path) != mark} <= {
            ".modelcache/lock",
            *(f".modelcache/lock/{name}" for name in state(whole, "lock")),
        }
        assert run_command("status", spec, whole, "--json").report["bytesUnused"] is None


class TestTelling:
    def test_a_dry_run_tells_the_same_and_leaves_no_trace(self, spec: Spec, whole: Path) -> None:
        fewer = without(spec, "wav2vec")
        before = footprint(whole)
        dry = prune(fewer, whole, "--dry-run").report
        table = run_command("prune", fewer, whole, "--dry-run")
        assert footprint(whole) == before
        assert table.lines[-1] == "cache: would free 1.0 MiB in 2 files"
        real = prune(fewer, whole).report
        assert dry == {**real, "dryRun": True, "filesRemoved": 0, "bytesFreed": 0}

    def test_status_says_how_much_with_the_command(self, spec: Spec, whole: Path) -> None:
        fewer = without(spec, "wav2vec")
        assert run_command("status", fewer, whole, "--json").report["bytesUnused"] == len(LARGE) + 3
        line = run_command("status", fewer, whole).lines[-1]
        assert line.startswith("init-sync prune --spec ")
        assert line.endswith("# would free 1.0 MiB")
        prune(fewer, whole)
        assert run_command("status", fewer, whole, "--json").report["bytesUnused"] == 0
        assert "prune" not in run_command("status", fewer, whole).stdout

    def test_a_run_says_it_in_one_line_of_the_log(self, spec: Spec, whole: Path) -> None:
        done = run_command("prune", without(spec, "wav2vec"), whole, "--log-format", "json")
        (line,) = [json.loads(each) for each in done.lines]
        assert line["message"] == "Removed 2 files that nothing needs: 1.0 MiB freed"

    @pytest.mark.parametrize("count", [0, 3, 10_000])
    def test_the_report_fits_a_termination_message(self, count: int) -> None:
        report = PruneReport("cache", dry_run=False, files=count, paths=[f"models/größe-{n}" for n in range(count)])
        report.error = TryAgain(Reason.WAITING_FOR_LOCK, "x" * 5000)
        text = fit(report)
        assert len(text.encode()) < 4096
        found = json.loads(text)
        assert (found["files"], found["reason"]) == (count, "WaitingForLock")
        assert found["paths"] == report.paths[: len(found["paths"])]
        assert len(found["paths"]) >= min(count, 100)

    def test_a_bad_manifest_is_told_in_the_report(self, whole: Path, tmp_path: Path) -> None:
        bad = tmp_path / "bad.yaml"
        bad.write_text("kind: [")
        done = run_command("prune", bad, whole, "--json", "--report", str(tmp_path / "report.json"))
        assert done.returncode == 2
        assert json.loads((tmp_path / "report.json").read_text())["reason"] == "InvalidSpec"


@pytest.fixture
def held(whole: Path) -> Iterator[None]:
    lock = VolumeLock(Volume(str(whole)))
    assert lock.acquire(lambda _: None, lambda: False)
    yield
    lock.release()


def test_it_gives_up_while_another_process_writes(
    spec: Spec, whole: Path, held: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from init_sync.app import prune_command

    before = tree(whole)
    monkeypatch.setattr(prune_command, "PATIENCE_S", 0.0)
    monkeypatch.setattr(prune_command, "end_at_signals", lambda finish: None)
    path = whole.parent / "spec.json"
    path.write_text(json.dumps(without(spec, "wav2vec")))
    options = Prune(spec=str(path), volume=str(whole), report=str(whole.parent / "report.json"))
    with pytest.raises(TryAgain) as raised:
        prune_command.prune(options)
    assert (raised.value.reason, raised.value.exit_code) == (Reason.WAITING_FOR_LOCK, 1)
    assert json.loads((whole.parent / "report.json").read_text())["reason"] == "WaitingForLock"
    assert tree(whole) == before


def test_a_file_that_cannot_be_removed_is_told_and_stays_known(
    spec: Spec, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from init_sync.app.specfile import read_manifest
    from init_sync.sync.prune import prune as carry_out

    def unlink(name: str, *, dir_fd: int | None = None) -> None:
        if name == "model.safetensors":
            raise PermissionError(13, "Permission denied", name)
        real(name, dir_fd=dir_fd)

    real = os.unlink
    path = whole.parent / "spec.json"
    path.write_text(json.dumps(without(spec, "wav2vec")))
    volume, read = Volume(str(whole)), read_manifest(str(path))
    report, lock = PruneReport("cache", dry_run=False), VolumeLock(volume)
    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(TryAgain, match=r"model\.safetensors cannot be removed"):
        carry_out(volume, read, lock, lambda: False, report)
    monkeypatch.undo()
    lock.release()
    assert (report.files, report.files_removed) == (2, 1)
    assert prune(without(spec, "wav2vec"), whole).report["paths"] == ["wav2vec/model.safetensors"]


def test_receipts_that_save_the_next_sync_from_reading_stay_until_it_has_its_own(
    repo: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    assert run_sync(manifest(model("it", repo.name)), volume, hub).returncode == 0
    other = manifest(model("it", repo.name, exclude=["nothing"]))
    assert prune(other, volume).report["files"] == 0
    done = run_sync(other, volume, hub)
    assert (done.returncode, done.report["bytesFetched"], done.report["bytesVerified"]) == (0, 0, 0)
    assert prune(other, volume).returncode == 0
    assert len(state(volume, "receipts")) == 1
