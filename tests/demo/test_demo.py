"""`make demo` from outside: what it shows, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.tools import helm, why_no_helm
from support.waiting import eventually

DEMO = Path(__file__).parents[1] / "support/demo"
LONG_S = 240
"""Beside other tests; alone, on two cores, the whole takes 45 s."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(helm() is None, reason=why_no_helm()), pytest.mark.timeout(LONG_S)]


@contextmanager
def started(command: list[str], folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A program whose temporary folder lies in ``folder``, by which its processes can be told."""
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder), **variables},
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def demo(folder: Path, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return started([str(DEMO), *arguments], folder)


def shown(folder: Path) -> str:
    return (folder / "output").read_text()


def processes_of(folder: Path) -> list[str]:
    """Command lines of all processes that have to do with the folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            known = [(each / "cmdline").read_bytes(), (each / "environ").read_bytes()]
        except OSError:
            continue
        if any(str(folder).encode() in text for text in known):
            found.append(known[0].replace(b"\0", b" ").decode())
    return found


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for the signal."""
    mask = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(mask and int(mask[1], 16) & 1 << (number - 1))


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "output"]


def test_the_demo_goes_from_an_empty_volume_to_a_video_a_warm_start_and_a_repair(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        code = process.wait(LONG_S - 10)
    text = shown(tmp_path)
    assert code == 0, text
    lines = [
        r"pod/multitalk-modelcache-inference-\w+ +SchedulingGated",
        r"modelcache/multitalk +Syncing",
        r"modelcache/multitalk +Ready +3/3 +100%",
        r"the gate of multitalk-modelcache-inference-\w+ was removed \d+ ms after the cache became complete",
        r"NAME +PHASE +REASON +MODELS +NODES +PROGRESS +SIZE +RATE +ETA +AGE",
        r"video\.mp4 after [\d.]+ s: 64x64, 10 frames, 0\.\d+ s of sound",
        r"All models already complete!",
        r"the init container took \d+ ms, with 0 requests to the hub",
        r"diffusion_pytorch_model-00003-of-00007.safetensors: verified and in place",
        r"fetched from the hub: ([\d,]+) bytes; the shard has \1\n",
    ]
    position = 0
    for line in lines:
        found = re.compile(line).search(text, position)
        assert found, f"{line!r} is not shown, or not in its place:\n{text}"
        position = found.start()
    gate = text.index("SchedulingGated")
    assert "Init:" not in text[gate : text.index("modelcache/multitalk", text.index("Ready", gate) - 80)]
    assert (left_behind(tmp_path), processes_of(tmp_path)) == ([], [])


STAGES = {
    "while it is read in": r"",
    "while the hub is filled": r"== A local hub",
    "while the chart is installed": r"\$ helm template multitalk",
    "in the first sync": r"pod/all-minilm-sync\S+ +Running",
}


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_demo_leaves_no_process_and_no_file(tmp_path: Path, stage: str) -> None:
    """As Ctrl-C does it: every process of the terminal's foreground group gets the signal."""
    with demo(tmp_path) as process:
        eventually(lambda: catches(process.pid, signal.SIGTERM), "it minds signals", 20)
        eventually(lambda: re.search(STAGES[stage], shown(tmp_path)), stage, LONG_S - 60)
        assert processes_of(tmp_path), "they can be told"
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        code = process.wait(40)
    assert code == 130, shown(tmp_path)
    assert time.monotonic() - began < 30
    assert "Traceback" not in shown(tmp_path)
    assert (left_behind(tmp_path), processes_of(tmp_path)) == ([], [])
