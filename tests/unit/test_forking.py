"""A forked run is a process like any other: its own command line, environment, output, folder, exit code and end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.forking import ForkServer

SERVER = ForkServer("json")


def speak() -> str:
    print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), os.getpid()]))
    return "the reason"


def stop() -> None:
    signal.pause()


def test_it_is_told_and_tells_what_a_process_is_and_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = SERVER.run("unit.test_forking:speak", ["a", "b"], {"ONE": "1"})
    arguments, environment, folder, pid = json.loads(done.stdout)
    assert (arguments, environment, folder) == (["a", "b"], {"ONE": "1"}, str(tmp_path))
    assert pid != os.getpid()
    assert (done.returncode, done.stderr) == (1, "the reason\n")


def test_its_exit_code_tells_the_signal_that_ended_it() -> None:
    first, second = (SERVER.start("unit.test_forking:stop", [], {}, stdout=1, stderr=2) for _ in range(2))
    assert first.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.01)
    first.send_signal(signal.SIGTERM)
    assert first.wait(10) == -signal.SIGTERM
    assert second.poll() is None, "they end apart"
    second.kill()
    assert second.wait(10) == -signal.SIGKILL
    second.kill()


def test_it_has_no_file_of_the_server_or_of_another_run_open() -> None:
    def files() -> int:
        return int(SERVER.run("unit.test_forking:count_files", [], {}).stdout)

    alone = files()
    other = SERVER.start("unit.test_forking:stop", [], {}, stdout=1, stderr=2)
    try:
        assert files() == alone
    finally:
        other.kill()
        other.wait(10)


def count_files() -> None:
    print(len(os.listdir("/proc/self/fd")))
