"""Another writer of the volume: while syncs run, it keeps exchanging names of the volume for links that lead out of it.

An exchange is one system call, so a name is always there: it is what it was, or a link. What was exchanged is put back
before the next, and when the race ends; so what the syncs did is judged on an undisturbed volume. A file that took the
link's place meanwhile is dropped: its content is on the volume still, or is fetched again.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

RENAME_EXCHANGE = 2
AT_FDCWD = -100


class Prey(StrEnum):
    """What becomes a link."""

    MODELS = "a model directory"
    STATE = "a directory of .modelcache"
    PARTIAL = "a partial file or a journal"
    LOCK = "a lock"
    TEMPORARY = "a temporary file"
    REPORT = "a report or its temporary file"


PATTERNS: dict[Prey, tuple[str, ...]] = {
    Prey.MODELS: ("volume/base", "volume/base/diffusion", "volume/addon", "volume/disk"),
    Prey.STATE: ("volume/.modelcache", "volume/.modelcache/*"),
    Prey.PARTIAL: ("volume/.modelcache/partial/*",),
    Prey.LOCK: ("volume/.modelcache/lock/*",),
    Prey.TEMPORARY: ("volume/.modelcache/tmp/*",),
    Prey.REPORT: ("reports/*",),
}
CANARIES = (
    *("config.json", "one.txt", "index.json", "shard-1.safetensors", "audio.safetensors", "volume.json", "report.json"),
    *("1", "2", "2024", f"sha256-{'a' * 64}.part", f"sha256-{'a' * 64}.journal", "state.0123456789ab"),
    *("diffusion/shard-2.safetensors", "lock/1", "partial/system.journal", "receipts/x.json", "tmp/copy.0123456789ab"),
)
"""Files outside: names that a sync writes, or removes where it finds them in a directory of its own."""


@dataclass(frozen=True, slots=True)
class Race:
    """How one goes."""

    prey: tuple[Prey, ...]
    after_s: float
    """How long the syncs are left alone at first."""
    link_s: float
    """How long a name is a link."""
    pause_s: float
    """How long it is itself afterwards."""


def draw_race(rng: random.Random) -> Race:
    prey = tuple(rng.sample(list(Prey), rng.choice((1, 1, 2, len(Prey)))))
    after_s = rng.choice((0.0, rng.uniform(0, 0.4)))
    return Race(prey, after_s, rng.choice((0.0, 0.0002, 0.002, 0.02)), rng.choice((0.0, 0.0005, 0.005, 0.05)))


@dataclass(frozen=True, slots=True)
class Course:
    """Where it takes place: three directories on one file system."""

    volume: Path
    outside: Path
    """Where the links lead; nothing in it may ever change."""
    reports: Path
    """Where syncs leave their reports."""

    @classmethod
    def beside(cls, volume: Path) -> Course:
        return cls(volume, volume.with_name(f"{volume.name}.outside"), volume.with_name(f"{volume.name}.reports"))

    @contextmanager
    def made(self) -> Iterator[None]:
        """What lies beside the volume, until the end."""
        self.reports.mkdir()
        for name in CANARIES:
            (self.outside / name).parent.mkdir(parents=True, exist_ok=True)
            (self.outside / name).write_text(f"precious {name}")
        for path in (self.outside, *self.outside.rglob("*")):
            os.utime(path, ns=(1, 1))  # a change within the same step of the clock shows
        try:
            yield
        finally:
            shutil.rmtree(self.outside)
            shutil.rmtree(self.reports)

    def remove_links(self) -> None:
        """A link that a sync moved, believing that it was its own file, lies on the volume still."""
        for path in self.volume.rglob("*"):
            if path.is_symlink() and path.readlink().is_relative_to(self.outside):
                path.unlink()


@contextmanager
def racing(race: Race, course: Course, seed: int, swaps: Counter[str]) -> Iterator[None]:
    """A racer on its way; ``swaps`` counts what it exchanged. It has put everything back at the end."""
    order = {"race": asdict(race), "seed": seed, "course": {name: str(path) for name, path in asdict(course).items()}}
    process = subprocess.Popen(
        [sys.executable, "-I", __file__, json.dumps(order)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()  # it runs
        yield
    finally:
        answer, _ = process.communicate(timeout=30)
        course.remove_links()
    swaps.update(json.loads(answer))


class Racer:
    """The process itself."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._course = {name: Path(path) for name, path in order["course"].items()}
        self._race = Race(**order["race"])
        self._rng = random.Random(order["seed"])
        self._aside = self._course["volume"].with_name(f"{self._course['volume'].name}.aside")
        self._renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        self.swaps: Counter[str] = Counter()

    def run(self) -> None:
        """Until the other process closes the pipe."""
        os.set_blocking(0, False)
        time.sleep(self._race.after_s)
        for number in itertools.count():
            if number % 16 == 0 and _is_over():
                return
            self._once(self._rng.choice(self._race.prey))

    def _once(self, prey: Prey) -> None:
        place, _, pattern = self._rng.choice(PATTERNS[prey]).partition("/")
        found = [path for path in self._course[place].glob(pattern) if not _is_gone(path)]
        if not found:
            time.sleep(0.0005)
            return
        path = self._rng.choice(found)
        self._aside.symlink_to(self._leads_to(path))
        if self._exchange(path):
            self.swaps[prey] += 1
            time.sleep(self._race.link_s)
            self._put_back(path, stat.S_ISDIR(self._aside.lstat().st_mode))
        _remove(self._aside)
        time.sleep(self._race.pause_s)

    def _leads_to(self, path: Path) -> Path:
        """For a directory the outside as a whole, for a file one that is there or one that is not."""
        if path.is_dir():
            return self._course["outside"]
        return self._course["outside"] / self._rng.choice((CANARIES[0], "not-there"))

    def _put_back(self, path: Path, was_directory: bool) -> None:
        # A sync that removed the link wanted the name for a file of its own. A directory must not be lost with it.
        if not self._exchange(path) and was_directory:
            self._aside.rename(path)

    def _exchange(self, path: Path) -> bool:
        """False when there is nothing at ``path`` any more."""
        if self._renameat2(AT_FDCWD, bytes(self._aside), AT_FDCWD, bytes(path), RENAME_EXCHANGE) == 0:
            return True
        code = ctypes.get_errno()
        if code != errno.ENOENT:
            raise OSError(code, os.strerror(code), str(path))
        return False


def _is_over() -> bool:
    try:
        return os.read(0, 1) == b""
    except BlockingIOError:
        return False


def _is_gone(path: Path) -> bool:
    return not os.path.lexists(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    with suppress(FileNotFoundError):
        path.unlink()


def main() -> None:
    racer = Racer(json.loads(sys.argv[1]))
    print("ready", flush=True)
    racer.run()
    print(json.dumps(racer.swaps))


if __name__ == "__main__":
    main()
