"""The one MultiTalk of tests and demonstrations: ``tiny_checkpoint()`` is a folder with the three model directories.

It is written once for each state of the code that decides its content, ``tools/multitalk_checkpoint`` and the engine,
in a process of its own, so that nobody here loads torch for it. Everyone shares it: read it, or copy it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/multitalk-tiny"
WRITER = ROOT / "tools/tiny_multitalk.py"
SOURCES = (ROOT / "tools/multitalk_checkpoint", ROOT / "inference/src/inference/engine")


def tiny_checkpoint() -> Path:
    folder = CACHE / _state_of_the_code()
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _write(folder)
    return folder


def _write(folder: Path) -> None:
    """Out of reach of a terminal's Ctrl-C, which ends it by ending us."""
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        new = Path(temporary) / "checkpoint"
        env = {**os.environ, "TMPDIR": temporary}  # torch makes folders there
        command = [sys.executable, str(WRITER), str(new)]
        subprocess.run(command, stdout=subprocess.DEVNULL, env=env, start_new_session=True, check=True)
        new.rename(folder)


def _state_of_the_code() -> str:
    files = [ROOT / "inference/src/inference/multitalk.py", *(path for each in SOURCES for path in each.rglob("*.py"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(files))).hexdigest()[:16]


if __name__ == "__main__":
    print(tiny_checkpoint())
