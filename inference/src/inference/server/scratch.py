"""The scratch directory: one folder per job, for its uploads while it waits and its video once it is finished.

    SCRATCH/.lock                 held by the server that owns the directory
    SCRATCH/video_<id>/part-0...  what was uploaded, under names of our own
    SCRATCH/video_<id>/video.mp4  the result; everything else is removed once it exists

Nothing in it outlives the process: it is emptied at start, of folders named `video_*` and of nothing else.
How long and how much is kept is decided in `retention`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from pathlib import Path

from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

RESULT = "video.mp4"


class ScratchError(Exception):
    """The directory cannot be used; the message says why and what to do."""


class Scratch:
    """The files of the jobs. Safe to use from several threads: each call touches one job's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: int | None = None

    def open(self) -> None:
        """Create and lock the directory, and remove what a former process left behind."""
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
        for left_over in self.root.glob("video_*"):
            shutil.rmtree(left_over, ignore_errors=True)

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
                if path.name != RESULT:
                    path.unlink(missing_ok=True)
