"""``init-sync prune``: its log, output, signals and report. What goes and in which order: ``sync.prune``."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

from init_sync.app.arguments import Prune
from init_sync.app.progress_display import set_up_log
from init_sync.app.report_file import leave_text
from init_sync.app.signals import end_at_signals
from init_sync.app.specfile import read_manifest
from init_sync.core.errors import SyncError
from init_sync.core.report import TERMINATION_MESSAGE_BYTES
from init_sync.core.spec import Manifest
from init_sync.shell.formatting import printable, size
from init_sync.sync.prune import PruneReport, look
from init_sync.sync.prune import prune as carry_out
from init_sync.volume.lock import VolumeLock
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""How long to wait for the lock: longer than that of a dead process lasts, shorter than a sync."""
LISTED_PATHS = 20


def prune(options: Prune) -> int:
    """Returns 0 once nothing unused is left. Raises SyncError otherwise; the report is written in any case."""
    os.umask(os.umask(0o077) & ~0o070)  # files of a shared volume belong to its group
    set_up_log(options, sys.stderr if options.json or options.dry_run else sys.stdout)
    report = PruneReport("", options.dry_run)
    try:
        manifest = read_manifest(options.spec)
        report.cache = manifest.name
        _run(options, manifest, report)
    except SyncError as error:
        report.error = error
        raise
    finally:
        leave_text(fit(report), options.report)
        if options.json:
            print(_text(report.to_json()))
    return 0


def _run(options: Prune, manifest: Manifest, report: PruneReport) -> None:
    volume = Volume(options.volume)
    if options.dry_run:
        look(volume, manifest, report)
        if not options.json:
            print(_preview(report))
        return
    lock = VolumeLock(volume)

    def end(error: SyncError) -> None:
        lock.release()
        report.error = error
        leave_text(fit(report), options.report)

    end_at_signals(end)
    began = time.monotonic()
    try:
        carry_out(volume, manifest, lock, lambda: time.monotonic() - began > PATIENCE_S, report)
    finally:
        lock.release()
    log.info("Removed %d files that nothing needs: %s freed", report.files_removed, size(report.bytes_freed))


def _preview(report: PruneReport) -> str:
    lines = [f"  {path}" for path in report.paths[:LISTED_PATHS]]
    if report.files > LISTED_PATHS:
        lines.append(f"  and {report.files - LISTED_PATHS} more (--json lists all)")
    lines.append(f"{report.cache}: would free {size(report.bytes)} in {report.files} files")
    return "\n".join(printable(line) for line in lines)


def fit(report: PruneReport, limit: int = TERMINATION_MESSAGE_BYTES - 1) -> str:
    """As JSON of at most ``limit`` bytes: a long message is cut, then paths are left out from the end."""
    data = report.to_json()
    data["message"] = data["message"][:500]
    left = limit - len(_text({**data, "paths": []}).encode())
    paths = []
    for path in data["paths"]:
        left -= len(_text(path).encode()) + 1
        if left < 0:
            break
        paths.append(path)
    return _text({**data, "paths": paths})


def _text(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace").decode()
