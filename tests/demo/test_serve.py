"""`make serve` from outside: what it prints works, and Ctrl-C leaves nothing, whenever it comes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from demo.test_demo import catches, left_behind, processes_of, shown, started
from support.waiting import eventually

SERVE = Path(__file__).parents[1] / "support/serve.py"
LONG_S = 240

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a blank in its name: lines to copy must mind that."""
    path = tmp_path / "with a blank"
    path.mkdir()
    return path


def serving(folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return started([str(SERVE)], folder, PORT=str(port))


def interrupt(process: subprocess.Popen[str], folder: Path) -> int:
    """As Ctrl-C does: the whole foreground group gets it."""
    assert processes_of(folder), "they can be told"
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(30)
    assert "Traceback" not in shown(folder)
    assert (left_behind(folder), processes_of(folder)) == ([], [])
    return code


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_the_lines_that_it_prints_lead_to_a_video(folder: Path) -> None:
    with serving(folder) as process:
        eventually(lambda: "\nloaded " in shown(folder), "the server is ready", LONG_S - 30)
        ready, post, listed, fetch = re.findall(r"^  (curl .+?(?:\\\n.+)?)$", shown(folder), re.MULTILINE)
        assert '"ready":true' in sh(ready)
        found = re.search(r'"id":"(video_\w+)"', sh(post))
        assert found
        eventually(lambda: '"status":"completed"' in sh(listed), "the video is made", 100)
        video = folder.parent / "video.mp4"
        sh(fetch.replace("VIDEO_ID", found[1]).replace("video.mp4", f"'{video}'"))
        assert video.read_bytes()[4:8] == b"ftyp"
        assert interrupt(process, folder) == 0


@pytest.mark.parametrize("stage", ["", "Some models missing", "listening "], ids=["read in", "sync", "loading"])
def test_it_leaves_nothing_however_early_it_is_interrupted(folder: Path, stage: str) -> None:
    with serving(folder) as process:
        eventually(lambda: catches(process.pid, signal.SIGTERM), "it minds signals", 20)
        eventually(lambda: stage in shown(folder), stage, LONG_S - 30)
        assert interrupt(process, folder) == (0 if "listening" in stage else 130)


def sh(line: str) -> str:
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=True).stdout
