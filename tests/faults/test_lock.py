"""Several processes on one volume: each byte once, and nobody waits long for the dead or the frozen."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.sync import command, environment, manifest, model, run_command, run_sync, start_sync, tree
from support.waiting import eventually

MIB = 1 << 20
FILES = {"config.json": b"{}\n", "model.safetensors": random.Random(5).randbytes(6 * MIB)}
SIZE = sum(map(len, FILES.values()))
SPEC = manifest(model("m", "owner/locked"))
WHOLE = {f"m/{path}": content for path, content in FILES.items()}
OTHER_SPEC = manifest(model("other", "owner/other"), name="other")


@pytest.fixture(autouse=True)
def _repos(hub: LocalHub, tmp_path: Path) -> None:
    RepoBuilder(tmp_path / "hub", "owner/locked").commit(FILES)
    RepoBuilder(tmp_path / "hub", "owner/other").commit({"other.bin": b"other" * 100})


@contextlib.contextmanager
def running(*arguments: Any, **named: Any) -> Iterator[subprocess.Popen[str]]:
    """A sync that is ended, whatever becomes of the test."""
    process = start_sync(*arguments, **named)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


@contextlib.contextmanager
def stuck_holder(hub: LocalHub, volume: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A sync that holds the lock and has half a file; the hub gives it no more, but everything to others."""
    stall = Fault("stall", match=("blob",), file="model.safetensors", after_bytes=3 * MIB, times=1)
    hub.add_fault(stall)
    with running(SPEC, volume, hub, "--stall-timeout", "600", "--give-up-after", "600", *arguments) as process:
        eventually(lambda: hub.bytes_sent >= 3 * MIB, "half of the file")
        eventually(lambda: any((volume / ".modelcache/partial").glob("*.part")), "a partial file")
        yield process


def generations(volume: Path) -> list[str]:
    return sorted(path.name for path in (volume / ".modelcache/lock").iterdir())


def lock_file(volume: Path) -> Path:
    (found,) = (volume / ".modelcache/lock").iterdir()
    return found


class TestTogether:
    @pytest.mark.parametrize("count", [2, 4])
    def test_processes_that_start_at_once_fetch_each_byte_once(self, hub: LocalHub, volume: Path, count: int) -> None:
        hub.add_fault(Fault("slow", bytes_per_second=4 * MIB, match=("blob",)))
        assert_each_byte_once(hub, volume, count, None)

    def test_they_do_without_flock(self, hub: LocalHub, volume: Path, no_locks: Path) -> None:
        """On some network volumes it succeeds and does nothing."""
        hub.add_fault(Fault("slow", bytes_per_second=4 * MIB, match=("blob",)))
        assert_each_byte_once(hub, volume, 4, {"LD_PRELOAD": str(no_locks)})

    def test_no_lock_call_is_made_at_all(self, hub: LocalHub, volume: Path, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        prefix = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=flock,fcntl"]
        if not shutil.which("strace") or subprocess.run([*prefix, "true"], capture_output=True).returncode:
            pytest.skip("strace is not installed or may not trace here")
        done = subprocess.run(
            [*prefix, *command("sync", SPEC, volume)], env=environment(hub), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        calls = trace.read_text()
        assert "fcntl" in calls, "the trace must have seen something"
        assert not [line for line in calls.splitlines() if "flock(" in line or "SETLK" in line]

    def test_a_waiter_says_for_whom_it_waits_and_its_report_too(
        self, hub: LocalHub, volume: Path, tmp_path: Path
    ) -> None:
        report = tmp_path / "report.json"
        with (
            stuck_holder(hub, volume) as holder,
            running(SPEC, volume, hub, "--report", str(report)) as waiter,
        ):
            assert waiter.stdout is not None
            told = next(line for line in waiter.stdout if line.startswith("Waiting for "))
            assert f"(process {holder.pid})" in told
            waiter.send_signal(signal.SIGTERM)
            assert waiter.wait(10) == 1
            # The reason it had, or the one that ended it; either way it is not complete.
            assert json.loads(report.read_text())["complete"] is False
            assert holder.poll() is None

    def test_a_waiter_leaves_as_soon_as_what_it_wants_is_complete(self, hub: LocalHub, volume: Path) -> None:
        """The holder goes on with something else."""
        both = manifest(model("other", "owner/other"), model("m", "owner/locked"), name="both")
        hub.add_fault(Fault("stall", match=("blob",), file="model.safetensors", after_bytes=3 * MIB))
        hub.add_fault(Fault("extra_delay", file="other.bin", seconds=1.0, times=1))
        with running(both, volume, hub, "--stall-timeout", "600", "--give-up-after", "600") as holder:
            eventually(lambda: (volume / ".modelcache/lock/1").exists(), "the lock")
            done = run_sync(OTHER_SPEC, volume, hub, timeout=20)
            assert holder.poll() is None
        assert done.returncode == 0, done.stderr
        assert "All models already complete!" in done.lines
        assert generations(volume) == ["1"]

    def test_damage_that_only_a_deep_look_finds_is_repaired_although_it_had_to_wait(
        self, hub: LocalHub, volume: Path
    ) -> None:
        """While it waits, another manifest's process does its work; that proves nothing about this one's files."""
        assert run_sync(OTHER_SPEC, volume, hub).returncode == 0
        damaged = volume / "other/other.bin"
        state = damaged.stat()
        damaged.write_bytes(b"OTHER" * 100)

        os.utime(damaged, ns=(state.st_atime_ns, state.st_mtime_ns))
        with (
            stuck_holder(hub, volume) as holder,
            running(OTHER_SPEC, volume, hub, "--verify", "deep") as deep,
        ):
            assert deep.stdout is not None
            assert next(line for line in deep.stdout if line.startswith("Waiting for "))
            holder.kill()
            _, stderr = deep.communicate(timeout=20)
            assert deep.returncode == 0, stderr
        assert damaged.read_bytes() == b"other" * 100


class TestDeadHolder:
    def test_a_killed_holder_is_succeeded_at_once(self, hub: LocalHub, volume: Path) -> None:
        with stuck_holder(hub, volume) as holder:
            holder.kill()
            began = time.monotonic()
            done = run_sync(SPEC, volume, hub)
            assert time.monotonic() - began < 15, "the default expiry must not be waited for"
        assert done.returncode == 0, done.stderr
        assert not [line for line in done.lines if line.startswith("Waiting")]
        assert tree(volume) == WHOLE
        assert hub.bytes_sent - SIZE <= 4 * MIB

    def test_one_that_is_killed_while_three_wait_is_succeeded_by_one_of_them(self, hub: LocalHub, volume: Path) -> None:
        with stuck_holder(hub, volume) as holder, contextlib.ExitStack() as stack:
            waiters = [stack.enter_context(running(SPEC, volume, hub)) for _ in range(3)]
            for waiter in waiters:
                assert waiter.stdout is not None
                assert next(line for line in waiter.stdout if line.startswith("Waiting for "))
            holder.kill()
            outputs = [waiter.communicate(timeout=30)[0] for waiter in waiters]
            assert [waiter.returncode for waiter in waiters] == [0, 0, 0]
        assert tree(volume) == WHOLE
        assert hub.bytes_sent - SIZE <= 4 * MIB
        assert sum("All models already complete!" in output for output in outputs) == 2

    def test_one_in_another_pid_namespace_is_succeeded_after_the_expiry(self, hub: LocalHub, volume: Path) -> None:
        unshare = ["unshare", "--pid", "--fork", "--kill-child=KILL"]
        if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
            pytest.skip("needs root and unshare to make a PID namespace")
        hub.add_fault(Fault("stall", match=("blob",), file="model.safetensors", after_bytes=3 * MIB, times=1))
        holder = subprocess.Popen(
            [*unshare, *command("sync", SPEC, volume, "--stall-timeout", "600", "--give-up-after", "600")],
            env=environment(hub),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: hub.bytes_sent >= 3 * MIB, "half of the file")
        finally:
            holder.kill()
            holder.wait()
        began = time.monotonic()
        done = run_sync(SPEC, volume, hub, "--lock-expiry", "2")
        assert time.monotonic() - began >= 2
        assert done.returncode == 0, done.stderr
        assert [line for line in done.lines if line.startswith("Waiting for ")]
        assert tree(volume) == WHOLE

    @pytest.mark.parametrize(
        "content",
        [
            b'{"owner": "trainer-7 (process 1)", "host": "trainer-7", "pid": 1, "started": 1, "bootId": "another",'
            b' "pidNamespace": "pid:[1]", "since": "2026-01-01T00:00:00Z", "beat": 4, "released": false}',
            b"",
            b"\xff\x00garbage",
            b"[" * 4000,
        ],
        ids=["another node", "empty", "garbage", "nested"],
    )
    def test_a_lock_that_nobody_refreshes_is_taken_over_after_the_expiry(
        self, hub: LocalHub, volume: Path, content: bytes
    ) -> None:
        lock = volume / ".modelcache/lock/7"
        lock.parent.mkdir(parents=True)
        lock.write_bytes(content)
        began = time.monotonic()
        done = run_sync(SPEC, volume, hub, "--lock-expiry", "1")
        assert time.monotonic() - began >= 1
        assert done.returncode == 0, done.stderr
        assert generations(volume) == ["8"]
        assert [line for line in done.lines if line.startswith("Waiting for ")]
        if b"trainer-7" in content:
            assert "Waiting for trainer-7 (process 1), which has been syncing this volume since" in done.stdout

    def test_by_default_nobody_is_blocked_for_more_than_a_minute(self) -> None:
        text = subprocess.run(
            [sys.executable, "-m", "init_sync", "sync", "--help"], capture_output=True, text=True, check=True
        ).stdout
        _, _, after = text.rpartition("--lock-expiry S")
        assert float(after.partition("(default: ")[2].partition(")")[0]) <= 50


class TestFrozenHolder:
    def test_one_that_thaws_after_it_was_succeeded_stops_writing_and_says_so(self, hub: LocalHub, volume: Path) -> None:
        hub.add_fault(Fault("slow", match=("blob",), file="model.safetensors", bytes_per_second=MIB, times=1))
        with running(SPEC, volume, hub, "--lock-expiry", "1") as holder:
            eventually(lambda: hub.bytes_sent >= MIB, "some bytes")
            holder.send_signal(signal.SIGSTOP)
            done = run_sync(SPEC, volume, hub, "--lock-expiry", "1")
            assert done.returncode == 0, done.stderr
            before = fingerprints(volume)
            holder.send_signal(signal.SIGCONT)
            _, stderr = holder.communicate(timeout=20)
        assert holder.returncode == 1
        assert "WaitingForLock" in stderr
        assert "took the lock over" in stderr
        assert tree(volume) == WHOLE
        assert fingerprints(volume) == before
        assert run_command("verify", SPEC, volume, "--deep").returncode == 0

    def test_one_that_thaws_while_its_successor_is_at_work_stops_writing(self, hub: LocalHub, volume: Path) -> None:
        hub.add_fault(Fault("slow", match=("blob",), file="model.safetensors", bytes_per_second=MIB))
        with running(SPEC, volume, hub, "--lock-expiry", "1") as holder:
            eventually(lambda: hub.bytes_sent >= MIB, "some bytes")
            holder.send_signal(signal.SIGSTOP)
            with running(SPEC, volume, hub, "--lock-expiry", "1") as successor:
                eventually(lambda: "2" in generations(volume), "the takeover")
                holder.send_signal(signal.SIGCONT)
                assert holder.wait(20) == 1
                _, stderr = successor.communicate(timeout=30)
            assert successor.returncode == 0, stderr
        assert tree(volume) == WHOLE
        assert run_command("verify", SPEC, volume, "--deep").returncode == 0


class TestLockDirectory:
    def test_a_finished_run_leaves_a_released_lock(self, hub: LocalHub, volume: Path) -> None:
        assert run_sync(SPEC, volume, hub).returncode == 0
        assert json.loads(lock_file(volume).read_bytes())["released"] is True

    def test_a_failed_run_leaves_a_released_lock(self, hub: LocalHub, volume: Path) -> None:
        missing = manifest(model("m", "owner/nowhere"))
        assert run_sync(missing, volume, hub).returncode == 2
        assert json.loads(lock_file(volume).read_bytes())["released"] is True

    def test_many_runs_leave_one_file(self, hub: LocalHub, volume: Path) -> None:
        for number in range(4):
            (volume / "m/config.json").unlink(missing_ok=True)
            assert run_sync(SPEC, volume, hub).returncode == 0
            assert generations(volume) == [str(number + 1)]

    def test_a_lock_of_a_very_high_generation_is_succeeded(self, hub: LocalHub, volume: Path) -> None:
        lock = volume / ".modelcache/lock" / str(10**30)
        lock.parent.mkdir(parents=True)
        lock.write_text('{"released": true}')
        assert run_sync(SPEC, volume, hub).returncode == 0
        assert generations(volume) == [str(10**30 + 1)]

    @pytest.mark.parametrize("name", ["²", "٣", "lost+found", ".nfs0001", "12.tmp"])
    def test_foreign_files_among_the_locks_are_no_obstacle_and_stay(
        self, hub: LocalHub, volume: Path, name: str
    ) -> None:
        foreign = volume / ".modelcache/lock" / name
        foreign.parent.mkdir(parents=True)
        foreign.write_bytes(b"foreign")
        done = run_sync(SPEC, volume, hub)
        assert done.returncode == 0, done.stderr
        assert foreign.read_bytes() == b"foreign"

    def test_a_directory_in_place_of_a_lock_is_reported_in_one_line(self, hub: LocalHub, volume: Path) -> None:
        (volume / ".modelcache/lock/5").mkdir(parents=True)
        done = run_sync(SPEC, volume, hub, "--lock-expiry", "1")
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert len(done.stderr.splitlines()) == 1
            assert ".modelcache/lock/5" in done.stderr

    def test_a_number_after_which_none_comes_is_reported_with_the_cure(self, hub: LocalHub, volume: Path) -> None:
        """A name has 255 digits at most. It stops every sync until it is removed."""
        last = volume / ".modelcache/lock" / ("9" * 255)
        last.parent.mkdir(parents=True)
        last.write_text('{"released": true}')
        done = run_sync(SPEC, volume, hub)
        assert done.returncode != 0
        assert f"the highest number in {last.parent} is none that a sync wrote: remove that file" in done.stderr
        last.unlink()
        assert run_sync(SPEC, volume, hub).returncode == 0


def assert_each_byte_once(hub: LocalHub, volume: Path, count: int, env: Mapping[str, str] | None) -> None:
    with contextlib.ExitStack() as stack:
        syncs = [stack.enter_context(running(SPEC, volume, hub, env=env)) for _ in range(count)]
        outputs = [process.communicate(timeout=50) for process in syncs]
    assert [process.returncode for process in syncs] == [0] * count, outputs
    assert hub.bytes_sent == SIZE
    assert tree(volume) == WHOLE
    waited = [output for output, _ in outputs if "Waiting for " in output]
    assert len(waited) == count - 1, outputs
    assert all("All models already complete!" in output.splitlines() for output in waited)


def fingerprints(volume: Path) -> dict[str, tuple[int, int, int]]:
    """What any write to a model file, or any replacement of it, would change."""
    states = {path: (volume / path).stat() for path in WHOLE}
    return {path: (state.st_ino, state.st_mtime_ns, state.st_size) for path, state in states.items()}


@pytest.fixture(scope="session")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library in front of libc's in which every file lock is granted and none is held."""
    compiler = shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and Linux to replace flock")
    folder = tmp_path_factory.mktemp("no-locks")
    source = folder / "no_locks.c"
    source.write_text("int flock(int f, int o) { return 0; }\nint lockf(int f, int c, long n) { return 0; }\n")
    library = folder / "no_locks.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    probe = "import fcntl, os; f = os.open('/dev/null', os.O_RDONLY); fcntl.flock(f, 99)"
    checked = subprocess.run([sys.executable, "-c", probe], env={"LD_PRELOAD": str(library)}, capture_output=True)
    if checked.returncode:
        pytest.skip("LD_PRELOAD has no effect here")
    return library
