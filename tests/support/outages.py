"""What tests of outages share: options for a sync in a hurry, contents, and looks at the volume from outside."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from support.hub import LocalHub
from support.sync import tree

MIB = 1 << 20

STALL_TIMEOUT_S = 1.0
GIVE_UP_S = 2.0
HURRY = ("--stall-timeout", str(STALL_TIMEOUT_S), "--give-up-after", str(GIVE_UP_S))
"""Seconds instead of minutes, so that an outage that is waited out does not hold the tests up."""

IN_TIME_S = 20.0
"""A run in a hurry takes 3 s: 2 s of patience, 1 s of silence. The rest is room for a busy machine, yet a run that
forgets its options and waits for the default patience of 30 s is late."""


@cache
def content(size: int, seed: int = 0) -> bytes:
    """The same unordered bytes at each call."""
    return random.Random(seed).randbytes(size)


def whole_files(volume: Path, wanted: dict[str, bytes]) -> dict[str, bool]:
    """For each file under a final name on the volume: whether it is one of ``wanted`` with just that content."""
    return {path: wanted.get(path) == found for path, found in tree(volume).items()}


def partial_bytes(volume: Path) -> int:
    """Bytes of files on their way, as far as the volume has them."""
    folder = volume / ".modelcache" / "partial"
    return sum(part.stat().st_blocks * 512 for part in folder.glob("*.part")) if folder.is_dir() else 0


def receipts(volume: Path) -> list[Path]:
    return list((volume / ".modelcache" / "receipts").glob("*.json"))


def open_sockets(url: str) -> int:
    """Established connections that end at the port of ``url``, counted at the server's end."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)


def file_requests(hub: LocalHub) -> int:
    """Requests that ask for the contents of a file, at either origin."""
    return hub.count("resolve") + hub.count("blob")


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Nothing of a process outlives the test that started it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def at_most(seconds: float, what: str) -> Iterator[None]:
    """Fail when the block took longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took <= seconds, f"{what} took {took:.1f} s; at most {seconds:g} s were promised"


def said(process: subprocess.Popen[str], words: str, *, before: str | None = None) -> str | None:
    """Read what a running process says up to the line with ``words``; None when it ends or says ``before`` first."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
        if before and before in line:
            return None
    return None
