"""Where a finished run leaves its report: a file of the user's, or the container's termination log.

Kubernetes reads at most 4096 bytes from the termination log, so a report is shortened to that there and nowhere else.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from init_sync.core.report import Report

TERMINATION_LOG = "/dev/termination-log"


def destination(path: str | None) -> str | None:
    """Where the report goes: ``path``, else the termination log if this is a container that has one, else nowhere."""
    if path is None and os.path.isfile(TERMINATION_LOG) and os.access(TERMINATION_LOG, os.W_OK):
        return TERMINATION_LOG
    return path


def leave_report(report: Report, path: str | None) -> None:
    """Write the report to its destination, if it has one; that this is not possible is said, and ends no run."""
    file = destination(path)
    if file is not None:
        try:
            write_report(report, file)
        except OSError as error:
            _not_written(file, error)


def leave_text(text: str, path: str | None) -> None:
    """The same of a report that is no sync's, and that is short enough for a termination log."""
    file = destination(path)
    if file is not None:
        try:
            write_text(text + "\n", file)
        except OSError as error:
            _not_written(file, error)


def _not_written(file: str, error: OSError) -> None:
    print(f"init-sync: the report could not be written to {file}: {error.strerror}", file=sys.stderr)


def write_report(report: Report, path: str) -> None:
    """Write the report to a file. Raises OSError when that is not possible."""
    write_text(report.fit() if os.path.abspath(path) == TERMINATION_LOG else report.text() + "\n", path)


def write_text(text: str, path: str) -> None:
    """Write a file so that a reader never sees half of it, except in places that can only be written in place.

    Raises:
        OSError: when that is not possible.
    """
    log = os.path.abspath(path) == TERMINATION_LOG
    if log or (os.path.exists(path) and not os.path.isfile(path)):
        # A mount point, or a pipe: it cannot be replaced. What became a link to a file since is not written to.
        with open(os.open(path, os.O_WRONLY | (os.O_CREAT | os.O_TRUNC if log else 0)), "w", encoding="utf-8") as file:
            if log or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.write(text)
                return
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    # Nobody can have put a link at a name that did not exist.
    with open(
        os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    os.replace(temporary, path)
