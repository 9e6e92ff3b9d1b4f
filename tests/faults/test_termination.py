"""SIGTERM: a sync ends at once whatever it is doing, lets the next one in, and nothing that came is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub
from support.outages import HURRY, MIB, at_most, content, ended, partial_bytes, said, whole_files
from support.pid_namespace import NEW_PID_NAMESPACE, pid_outside, skip_without_pid_namespaces
from support.sync import command, environment, run_sync, start_sync
from support.waiting import eventually

SIZE = 24 * MIB
FILE = "large/weights.safetensors"
AT_ONCE_S = 15.0
"""Well below the grace of 30 s that Kubernetes gives, and room for a busy machine."""
LOST_PER_CONNECTION = 8 * MIB


@pytest.fixture
def slow(hub: LocalHub) -> LocalHub:
    """A hub that takes seconds over the large file."""
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=4 * MIB))
    return hub


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """Send the signal and wait for the end; returns what was said on stderr."""
    process.send_signal(number)
    with at_most(AT_ONCE_S, f"ending on {number.name}"):
        _, stderr = process.communicate(timeout=20)
    return stderr


def assert_continued(spec: dict[str, Any], volume: Path, hub: LocalHub, connections: int) -> None:
    """Another run starts at once and needs little more than the rest."""
    hub.clear_faults()
    result = run_sync(spec, volume, hub, *HURRY)
    assert result.returncode == 0, result.stderr
    assert "Waiting for" not in result.stdout
    assert whole_files(volume, {FILE: content(SIZE)}) == {FILE: True}
    assert hub.bytes_sent <= SIZE + connections * LOST_PER_CONNECTION


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_transfer_ends_the_run_at_once_and_the_next_continues(
    number: signal.Signals, large_spec: dict[str, Any], volume: Path, slow: LocalHub, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    with ended(start_sync(large_spec, volume, slow, "--connections", "1", "--report", str(report))) as process:
        eventually(lambda: partial_bytes(volume) > 9 * MIB, "bytes beyond the first piece")
        stderr = end(process, number)

    assert process.returncode == 1
    assert stderr == f"init-sync: interrupted by {number.name}; another run continues from here\n"
    told = json.loads(report.read_text())
    assert told["complete"] is False
    assert told["models"][0]["reason"] == "Interrupted"
    assert number.name in told["models"][0]["message"]
    assert not (volume / FILE).exists()
    kept = slow.bytes_sent
    assert_continued(large_spec, volume, slow, connections=1)
    assert kept + SIZE - slow.bytes_sent < kept, "the second run did not start over"
    assert slow.bytes_sent < kept + SIZE


@pytest.mark.parametrize("kind", ["model_info", "resolve", "blob"])
def test_a_sync_that_waits_for_a_silent_hub_ends_at_once(
    kind: str, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("stall", match=(kind,)))
    with ended(start_sync(large_spec, volume, hub)) as process:
        eventually(lambda: hub.count(kind), "the request that gets no answer")
        end(process)

    assert process.returncode == 1


def test_a_sync_that_waits_to_try_again_ends_at_once(large_spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("status", status=503, retry_after=25))
    with ended(start_sync(large_spec, volume, hub)) as process:
        assert said(process, "trying again in 25.0 s")
        end(process)

    assert process.returncode == 1


def test_a_sync_that_waits_for_the_lock_ends_at_once_and_the_holder_goes_on(
    large_spec: dict[str, Any], volume: Path, slow: LocalHub
) -> None:
    with (
        ended(start_sync(large_spec, volume, slow)) as holder,
        ended(start_sync(large_spec, volume, slow)) as waiter,
    ):
        second = waiter
        if not said(second, "Waiting for", before="Fetching"):  # the second process was faster
            holder, second = second, holder
            assert said(second, "Waiting for")
        end(second)
        assert second.returncode == 1
        slow.clear_faults()
        _, stderr = holder.communicate(timeout=40)

    assert holder.returncode == 0, stderr
    assert whole_files(volume, {FILE: content(SIZE)}) == {FILE: True}
    assert slow.bytes_sent == SIZE


UNDER_A_LOCK = """
import os, signal, sys, threading

def interrupting(make):
    class Lock:
        fired = False
        def __init__(self):
            self._lock = make()
        def __enter__(self):
            self._lock.acquire()
            in_main = threading.current_thread() is threading.main_thread()
            if in_main and not Lock.fired and callable(signal.getsignal(signal.SIGTERM)):
                Lock.fired = True
                os.kill(os.getpid(), signal.SIGTERM)
        def __exit__(self, *_):
            self._lock.release()
    return Lock

from init_sync.app import cli
from init_sync.sync import progress
class Threading:
    Lock, RLock = interrupting(threading.Lock), interrupting(threading.RLock)
progress.threading = Threading
sys.exit(cli.run(sys.argv[1:]))
"""
"""The command, with a SIGTERM at the very moment when the main thread has taken the lock of the progress."""


def test_a_signal_that_arrives_inside_the_bookkeeping_does_not_hang(
    spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    assert run_sync(spec, volume, hub).returncode == 0
    arguments = command("sync", spec, volume, "--verify", "deep")[3:]

    done = subprocess.run(
        [sys.executable, "-c", UNDER_A_LOCK, *arguments],
        env=environment(hub),
        capture_output=True,
        text=True,
        timeout=15,
    )

    assert done.returncode == 1
    assert "interrupted by SIGTERM" in done.stderr


@pytest.fixture
def first_process(
    large_spec: dict[str, Any], volume: Path, slow: LocalHub
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A sync that is PID 1 of its own namespace, in mid-transfer, and its PID out here."""
    skip_without_pid_namespaces()
    arguments = [*NEW_PID_NAMESPACE, *command("sync", large_spec, volume, "--connections", "1")]
    outer = subprocess.Popen(
        arguments, env=environment(slow), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with ended(outer):
        eventually(lambda: partial_bytes(volume) > 9 * MIB, "bytes beyond the first piece")
        yield outer, pid_outside(outer)


def test_sigterm_ends_a_sync_that_is_process_1_of_its_container(
    first_process: tuple[subprocess.Popen[str], int], large_spec: dict[str, Any], volume: Path, slow: LocalHub
) -> None:
    outer, pid = first_process
    os.kill(pid, signal.SIGTERM)
    with at_most(AT_ONCE_S, "ending on SIGTERM as PID 1"):
        _, stderr = outer.communicate(timeout=20)

    assert outer.returncode == 1
    assert "interrupted by SIGTERM" in stderr
    assert_continued(large_spec, volume, slow, connections=1)
