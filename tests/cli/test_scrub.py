"""``scrub``: files are read again, oldest first and no faster than asked; what is damaged is known from then on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cli.test_status import flip
from init_sync.app.specfile import read_manifest
from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.reasons import Reason
from init_sync.sync import scrub as module
from init_sync.sync.progress import Progress
from init_sync.sync.scrub import Scrub
from init_sync.volume.check import check_all
from init_sync.volume.hashing import Hooks
from init_sync.volume.layout import read_json, write_json
from init_sync.volume.links import COPY
from init_sync.volume.lock import VolumeLock
from init_sync.volume.uncached import Uncached
from init_sync.volume.volume import Volume
from support.hub import LocalHub
from support.release_0_1_0 import is_unchanged, read_receipt
from support.schemas import check_report
from support.sync import Result, command, environment, run_command, run_sync
from support.three_models import LARGE, footprint

Spec = dict[str, Any]
TOTAL = 2 * len(LARGE) + 3 + 3 + 2 + 11
WEIGHTS = "base/weights.safetensors"
LONG_AGO = "2026-01-02T03:04:05Z"


def scrub(spec: Spec, volume: Path, *arguments: str) -> Result:
    report = volume.parent / "scrub.json"
    report.unlink(missing_ok=True)
    more = () if "--rate" in arguments else ("--rate", "1Gi")
    done = run_command("scrub", spec, volume, "--report", str(report), "--older-than", "0s", *more, *arguments)
    return Result(done.returncode, done.stdout, done.stderr, json.loads(report.read_text()) if report.exists() else {})


def receipt_path(volume: Path, directory: str) -> str:
    (path,) = (volume / ".modelcache/receipts").glob(f"{directory}-*.json")
    return str(path.relative_to(volume))


def receipt(volume: Path, directory: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(Volume(str(volume)), receipt_path(volume, directory))
    return found


def change_receipt(volume: Path, directory: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = receipt_path(volume, directory)
    data = receipt(volume, directory)
    change(data)
    write_json(Volume(str(volume)), path, data, (volume / path).stat().st_mtime_ns)


def age(volume: Path, directory: str, at: str = LONG_AGO) -> None:
    change_receipt(volume, directory, lambda data: data.update(verifiedAt=at))


def written(spec: Spec, volume: Path) -> Path:
    path = volume.parent / "spec.json"
    path.write_text(json.dumps(spec))
    return path


@contextmanager
def slow_scrub(spec: Spec, volume: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that takes ten seconds for the volume."""
    line = command("scrub", spec, volume, "--older-than", "0s", "--rate", "256Ki", *arguments)
    with subprocess.Popen(line, env=environment(None), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def run_here(spec: Spec, whole: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Progress]:
    """A scrub in this process."""

    def run(rate: int = 1 << 30, older_than_s: float = 0.0, **more: Any) -> Progress:
        progress = Progress(read_manifest(str(written(spec, whole))))
        Scrub(progress.manifest, Volume(str(whole)), progress, rate=rate, older_than_s=older_than_s, **more).run()
        return progress

    return run


class TestReading:
    def test_every_byte_is_read_and_the_time_goes_into_the_receipt(self, spec: Spec, whole: Path) -> None:
        for directory in ("base", "wav2vec", "multitalk"):
            age(whole, directory)
        done = scrub(spec, whole)
        assert (done.returncode, done.report["bytesVerified"]) == (0, TOTAL)
        check_report(done.report)
        times = {model["verifiedAt"] for model in done.report["models"]}
        assert LONG_AGO not in times
        assert run_command("verify", spec, whole).returncode == 0

    def test_what_is_younger_than_asked_is_left_alone(self, spec: Spec, whole: Path) -> None:
        age(whole, "wav2vec")
        done = scrub(spec, whole, "--older-than", "1h")
        assert (done.returncode, done.report["bytesVerified"]) == (0, len(LARGE) + 3)
        assert scrub(spec, whole, "--older-than", "1h").report["bytesVerified"] == 0

    def test_the_oldest_file_comes_first(
        self, whole: Path, run_here: Callable[..., Progress], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        age(whole, "wav2vec", "2026-01-03T00:00:00Z")
        age(whole, "base", "2026-01-02T00:00:00Z")
        change_receipt(whole, "multitalk", lambda data: data.update(verifiedAt="9999-01-01T00:00:00Z"))
        change_receipt(whole, "base", lambda data: data["files"][0].update(verifiedAt="2026-01-04T00:00:00Z"))
        read: list[str] = []
        real = Scrub._content

        def content(run: Scrub, due: module.Due, path: str) -> tuple[str, str]:
            read.append(path)
            return real(run, due, path)

        monkeypatch.setattr(Scrub, "_content", content)
        run_here()
        assert read == [
            "multitalk/index.json",  # of a time to come, which is no time
            "base/index.json_old",
            WEIGHTS,
            "wav2vec/config.json",
            "wav2vec/model.safetensors",
            "base/config.json",
        ]

    def test_the_receipt_has_the_oldest_time_and_its_files_the_later_ones(self, spec: Spec, whole: Path) -> None:
        age(whole, "base")
        change_receipt(whole, "base", lambda data: data["files"][0].update(verifiedAt="2026-11-29T00:00:00Z"))
        scrub(spec, whole, "--older-than", f"{int(time.time() - 1796000000) // 3600 + 200}h")
        data = receipt(whole, "base")
        assert data["verifiedAt"] == "2026-11-29T00:00:00Z"
        assert [each.get("verifiedAt", "") > "2026-11-29" for each in data["files"]] == [False, True, True]

    def test_it_is_no_faster_than_asked(self, run_here: Callable[..., Progress]) -> None:
        began = time.monotonic()
        run_here(rate=TOTAL)
        assert time.monotonic() - began >= 0.95

    def test_0_1_0_reads_the_receipts_and_would_hash_nothing(self, spec: Spec, whole: Path) -> None:
        age(whole, "base")
        scrub(spec, whole)
        found = read_receipt(whole / receipt_path(whole, "base"))
        assert found is not None
        assert all(is_unchanged(whole, file) for file in found[1])

    def test_no_model_file_and_no_time_of_one_is_changed(self, spec: Spec, whole: Path) -> None:
        before = {path: mark for path, mark in footprint(whole).items() if not path.startswith((".modelcache", "."))}
        scrub(spec, whole)
        assert {path: footprint(whole)[path] for path in before} == before

    def test_a_volume_that_cannot_be_written_to_is_told_before_anything_is_read(
        self, run_here: Callable[..., Progress], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> NoReturn:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(VolumeLock, "acquire", refuse)
        monkeypatch.setattr(Scrub, "_read", lambda *_: pytest.fail("something was read"))
        with pytest.raises(NeedsChange, match="Read-only"):
            run_here()


class TestDamage:
    def test_it_is_known_from_then_on_without_reading_and_a_sync_fetches_that_file_alone(
        self, spec: Spec, whole: Path, hub: LocalHub
    ) -> None:
        flip(whole / WEIGHTS, 5000)
        assert run_command("verify", spec, whole).returncode == 0
        done = scrub(spec, whole)
        assert (done.returncode, done.report["complete"]) == (1, False)
        assert done.reasons() == {"base": "ChecksumMismatch", "wav2vec": None, "multitalk": None}
        assert WEIGHTS in done.report["models"][0]["message"]
        assert run_command("status", spec, whole, "--json").reasons() == done.reasons()
        hashed: list[int] = []
        checks = check_all(Volume(str(whole)), read_manifest(str(written(spec, whole))), hooks=Hooks(hashed.append))
        assert (checks["base"].complete, hashed) == (False, [])
        cured = run_sync(spec, whole, hub)
        assert (cured.returncode, hub.bytes_sent) == (0, len(LARGE))
        assert "damage" not in json.dumps(receipt(whole, "base"))
        assert scrub(spec, whole).returncode == 0

    def test_0_1_0_sees_it_too(self, spec: Spec, whole: Path) -> None:
        flip(whole / WEIGHTS, 5000)
        scrub(spec, whole)
        found = read_receipt(whole / receipt_path(whole, "base"))
        assert found is not None
        assert [file.path for file in found[1] if not is_unchanged(whole, file)] == [WEIGHTS]

    def test_a_second_scrub_does_not_read_it_again_and_still_says_so(self, spec: Spec, whole: Path) -> None:
        flip(whole / WEIGHTS, 5000)
        first, second = (scrub(spec, whole) for _ in range(2))
        assert (second.returncode, second.reasons()) == (1, first.reasons())
        assert second.report["bytesVerified"] == TOTAL - len(LARGE)

    def test_a_file_that_was_put_right_by_hand_is_right(self, spec: Spec, whole: Path) -> None:
        flip(whole / WEIGHTS, 5000)
        scrub(spec, whole)
        (whole / WEIGHTS).write_bytes(LARGE)
        assert run_command("verify", spec, whole).returncode == 0
        assert "damage" not in json.dumps(receipt(whole, "base"))

    def test_a_deep_check_believes_its_own_eyes(self, spec: Spec, whole: Path) -> None:
        flip(whole / WEIGHTS, 5000)
        scrub(spec, whole)
        flip(whole / WEIGHTS, 5000)
        assert run_command("verify", spec, whole).returncode == 1
        assert run_command("verify", spec, whole, "--deep").returncode == 0

    def test_a_file_that_the_disk_does_not_give_is_damage_of_its_own_kind(
        self, run_here: Callable[..., Progress], spec: Spec, whole: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read(uncached: Uncached, size: int, use: Callable[[memoryview], None]) -> int:
            if size == len(LARGE):
                raise OSError(errno.EIO, "Input/output error")
            return real(uncached, size, use)

        real = Uncached.read
        with monkeypatch.context() as patch:
            patch.setattr(Uncached, "read", read)
            report = run_here().report()
        assert [model.reason for model in report.models] == [Reason.CHECKSUM_MISMATCH] * 2 + [None]
        assert "cannot be read from its disk" in report.models[0].message
        kinds = [each["damage"]["kind"] for each in receipt(whole, "base")["files"] if "damage" in each]
        assert kinds == ["unreadable"]

    @pytest.mark.parametrize("code", [errno.ESTALE, errno.EACCES, errno.ENOENT])
    def test_what_may_pass_is_no_damage(
        self, code: int, run_here: Callable[..., Progress], whole: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read(uncached: Uncached, size: int, use: Callable[[memoryview], None]) -> NoReturn:
            raise OSError(code, os.strerror(code))

        before = receipt(whole, "base")
        with monkeypatch.context() as patch:
            patch.setattr(Uncached, "read", read)
            assert run_here().complete
        assert receipt(whole, "base") == before

    def test_a_copy_that_stands_for_a_link_is_read_too(self, spec: Spec, whole: Path, hub: LocalHub) -> None:
        at = whole / "base/index.json"
        at.unlink()
        at.write_bytes(b'{"more": 1}')
        link = {"at": "base/index.json", "target": "multitalk/index.json", "kind": COPY, "text": ""}
        link["mtimeNs"] = at.stat().st_mtime_ns  # type: ignore[assignment]
        change_receipt(whole, "multitalk", lambda data: data.update(links=[link]))
        os.utime(whole / receipt_path(whole, "multitalk"))
        assert run_command("verify", spec, whole).returncode == 0
        flip(at, 3)
        done = scrub(spec, whole)
        assert done.reasons()["multitalk"] == "LinkBroken"
        assert run_sync(spec, whole, hub).returncode == 0
        assert hub.bytes_sent == 0


class TestBesideOthers:
    def test_what_a_sync_wrote_meanwhile_is_not_undone(
        self, run_here: Callable[..., Progress], whole: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file that was found damaged is another one by the time of the record."""
        flip(whole / WEIGHTS, 5000)

        def record(run: Scrub, patience_s: float) -> bool:
            if run._found and any(each.damaged for each in run._found):
                (whole / WEIGHTS).write_bytes(LARGE)
                mtime_ns = (whole / WEIGHTS).stat().st_mtime_ns
                change_receipt(whole, "base", lambda data: data["files"][2].update(mtimeNs=mtime_ns))
            return real(run, patience_s)

        real = Scrub._record
        monkeypatch.setattr(Scrub, "_record", record)
        assert run_here().complete
        assert "damage" not in json.dumps(receipt(whole, "base"))

    def test_a_file_that_is_touched_while_it_is_read_is_left_to_the_next_run(
        self, run_here: Callable[..., Progress], whole: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read(uncached: Uncached, size: int, use: Callable[[memoryview], None]) -> int:
            if size == len(LARGE):
                os.utime(whole / WEIGHTS)
            return real(uncached, size, use) if size < len(LARGE) else 0

        real, before = Uncached.read, receipt(whole, "base")["files"][2]
        with monkeypatch.context() as patch:
            patch.setattr(Uncached, "read", read)
            run_here()
        after = receipt(whole, "base")["files"][2]
        assert (after["path"], "damage" in after, after["id"]) == (WEIGHTS, False, before["id"])

    def test_it_reads_while_a_sync_holds_the_lock_and_says_what_it_could_not_record(
        self, run_here: Callable[..., Progress], whole: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PATIENCE_S", 0.0)
        flip(whole / WEIGHTS, 5000)
        before = receipt(whole, "base")
        lock = VolumeLock(Volume(str(whole)))
        assert lock.acquire(lambda _: None, lambda: False)
        try:
            with pytest.raises(TryAgain) as raised:
                run_here()
        finally:
            lock.release()
        assert raised.value.reason == Reason.WAITING_FOR_LOCK
        assert receipt(whole, "base") == before

    def test_the_lock_is_free_while_it_reads(self, spec: Spec, whole: Path, hub: LocalHub) -> None:
        with slow_scrub(spec, whole) as process:
            assert process.stdout is not None
            assert any("Reading" in line for line in process.stdout)
            (whole / "multitalk/index.json").unlink()
            assert run_sync(spec, whole, hub).returncode == 0
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert process.wait(20) == 1
            assert time.monotonic() - began < 10
        assert run_command("verify", spec, whole).returncode == 0

    def test_killed_at_any_time_it_goes_on_where_it_was(
        self, run_here: Callable[..., Progress], whole: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for directory in ("base", "wav2vec", "multitalk"):
            age(whole, directory)
        monkeypatch.setattr(module, "RECORD_EVERY_S", 0.0)
        real = Scrub._read
        read: list[str] = []

        def reading(run: Scrub, due: module.Due) -> None:
            if len(read) == 3 and not stopped:
                stopped.append(True)
                raise KeyboardInterrupt
            read.append(due.file.path)
            real(run, due)

        stopped: list[bool] = []
        monkeypatch.setattr(Scrub, "_read", reading)
        with pytest.raises(KeyboardInterrupt):
            run_here(older_than_s=3600.0)
        run_here(older_than_s=3600.0)
        assert sorted(read) == sorted(set(read)), "no file was read twice"
        assert len(read) == 6
