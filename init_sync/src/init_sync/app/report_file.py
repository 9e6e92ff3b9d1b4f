"""Where a finished run leaves its report: a file of the user's, or the container's termination log.

Kubernetes reads at most 4096 bytes from the termination log, so a report is shortened to that there and nowhere else.
"""

from __future__ import annotations

import os

from init_sync.core.report import Report

TERMINATION_LOG = "/dev/termination-log"


def write_report(report: Report, path: str | None) -> None:
    """Write to ``path``; None means the termination log, if this is a container that has one.

    Raises:
        OSError: when a path that was asked for cannot be written to.
    """
    if path is None:
        if os.path.isfile(TERMINATION_LOG) and os.access(TERMINATION_LOG, os.W_OK):
            _write_in_place(TERMINATION_LOG, report.fit())
    elif os.path.abspath(path) == TERMINATION_LOG:
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
