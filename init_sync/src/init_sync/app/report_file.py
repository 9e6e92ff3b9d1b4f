"""Where a finished run leaves its report: a file of the user's, or the container's termination log.

Kubernetes reads at most 4096 bytes from the termination log, so a report is shortened to that there and nowhere else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from init_sync.core.report import Report

TERMINATION_LOG = "/dev/termination-log"


def destination(path: str | None) -> str | None:
    """Where the report goes: ``path``, else the termination log if this is a container that has one, else nowhere."""
    if path is None and os.path.isfile(TERMINATION_LOG) and os.access(TERMINATION_LOG, os.W_OK):
        return TERMINATION_LOG
    return path


def write_report(report: Report, path: str) -> None:
    """Write the report to a file; a reader never sees half of it, save in places that can only be written in place.

    Raises:
        OSError: when that is not possible.
    """
    if os.path.abspath(path) == TERMINATION_LOG:
        _write_in_place(path, report.fit())
    elif os.path.exists(path) and not os.path.isfile(path):
        _write_in_place(path, report.text() + "\n")
    else:
        temporary = f"{path}.{os.getpid()}.tmp"
        _write_in_place(temporary, report.text() + "\n")
        os.replace(temporary, path)


def _write_in_place(path: str, text: str) -> None:
    """The termination log is a mount point: it can be written to, not replaced."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
