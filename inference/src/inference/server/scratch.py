"""The scratch directory: one folder per job, for its uploads while it waits and its video once it is finished.

    SCRATCH/.lock                 held by the server that owns the directory
    SCRATCH/video_<id>/part-0...  what was uploaded, under names of our own
    SCRATCH/video_<id>/video.mp4  the result; everything else is removed once it exists
    SCRATCH/video_<id>/video.json what is known about it (`records`)

Results outlive the process if the directory does. At start all other folders named `video_*` are removed, and nothing
else. How long and how much is kept is decided in `retention`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from inference.server.jobs import Job
from inference.server.records import MOST_BYTES
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

RESULT, RECORD = "video.mp4", "video.json"
ID = re.compile(r"video_[0-9a-f]{16,40}")
ReadRecord = Callable[[str, bytes, Path], Job | None]


class ScratchError(Exception):
    """The directory cannot be used; the message says why and what to do."""


class Scratch:
    """The files of the jobs. Safe to use from several threads: each call touches one job's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: int | None = None

    def open(self) -> None:
        """Create and lock the directory."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.root / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise ScratchError(f"another server uses {self.root}: give each its own --scratch directory") from error
        except OSError as error:
            self.close()
            raise ScratchError(f"preparing --scratch {self.root}: {error.strerror}. It must be writable") from error

    def recover(self, read: ReadRecord) -> list[Job]:
        """The finished videos that a former process left behind; what else it left is removed."""
        found = {folder: self._recovered(folder, read) for folder in self.root.glob("video_*")}
        for folder, job in found.items():
            if job is None:
                _remove(folder)
            else:
                self.keep_result_only(job.id)
        return [job for job in found.values() if job]

    def _recovered(self, folder: Path, read: ReadRecord) -> Job | None:
        if not ID.fullmatch(folder.name) or folder.is_symlink():
            return None
        try:
            with (folder / RECORD).open("rb") as file:
                text = file.read(MOST_BYTES)
        except OSError:
            return None
        return read(folder.name, text, folder / RESULT)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def folder(self, video_id: str) -> Path:
        return self.root / video_id

    def result(self, video_id: str) -> Path:
        return self.root / video_id / RESULT

    def create(self, video_id: str) -> Path:
        folder = self.folder(video_id)
        folder.mkdir(mode=0o700)
        return folder

    def remove(self, video_id: str) -> None:
        """Remove a job's files; failures are logged, not raised: the job is over either way."""
        folder = self.folder(video_id)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            log.warning("scratch folder not removed", extra=fields(folder=str(folder)))

    def keep_result_only(self, video_id: str) -> None:
        """Remove the uploads of a finished job; a DELETE may have removed the folder in the meantime."""
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder(video_id).iterdir():
                if path.name not in (RESULT, RECORD):
                    path.unlink(missing_ok=True)

    def record(self, video_id: str, text: str) -> None:
        """Write what is known about a result. Without it the video is served all the same, until the process ends."""
        part = self.folder(video_id) / f"{RECORD}.part"
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(part.with_suffix(""))
        except FileNotFoundError:
            pass  # a DELETE has removed the folder
        except OSError as error:
            log.warning("record not written", extra=fields(id=video_id, cause=error.strerror))


def _remove(left_over: Path) -> None:
    if left_over.is_symlink() or not left_over.is_dir():
        left_over.unlink(missing_ok=True)
    else:
        shutil.rmtree(left_over, ignore_errors=True)
