"""``init-sync sync``: the run, with its logs, display, metrics port, signals and report."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from init_sync.app.arguments import Sync
from init_sync.app.signals import end_at_signals
from init_sync.app.specfile import read_manifest, read_pins
from init_sync.core.errors import ManifestError, NeedsChange, SyncError, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.settings import Settings, SyncOptions
from init_sync.shell.lines import json_line, text_line
from init_sync.shell.log_settings import LEVELS
from init_sync.sync.progress import Progress
from init_sync.sync.run import SyncRun
from init_sync.volume.volume import Volume

if TYPE_CHECKING:
    from init_sync.app.progress_display import ProgressDisplay


def sync(options: Sync) -> int:
    """Returns 0 once every model is complete. Raises SyncError otherwise; the report is written in any case."""
    os.umask(os.umask(0o077) & ~0o070)  # files of a shared volume belong to its group
    try:
        manifest = read_manifest(options.spec)
    except ManifestError as error:
        from init_sync.app.report_file import leave_report
        from init_sync.core.report import refused_report

        leave_report(refused_report(error), options.report)
        raise
    progress = Progress(manifest)
    try:
        sync_options = _sync_options(options)
    except NeedsChange as error:
        progress.failed(error)
        _report(progress, options.report)
        raise
    work = _Work(options, progress)
    sync_run = SyncRun(manifest, Volume(options.volume), sync_options, progress, work.begin, work.say)

    def end(error: SyncError) -> None:  # every byte that was received is recorded
        sync_run.release()
        progress.failed(error)
        _report(progress, options.report)

    end_at_signals(end)
    try:
        sync_run.sync()
        return 0
    except SyncError:
        raise
    except Exception as error:
        work.begin()
        raise _internal_error(error, progress) from error
    finally:
        work.end()
        _report(progress, options.report)


class _Work:
    """What only a run with work to do needs: logging, the display and the metrics port."""

    def __init__(self, options: Sync, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._display: ProgressDisplay | None = None

    def begin(self) -> None:
        if self._display:
            return
        gc.enable()
        from init_sync.app.progress_display import ProgressDisplay, set_up_log

        set_up_log(self._options, sys.stdout)
        self._display = ProgressDisplay(self._progress, self._options.log_format == "text" and sys.stderr.isatty())
        self._display.start()
        if self._options.metrics_port is not None:
            from init_sync.app.metrics import serve

            serve(self._progress, self._options.metrics_port)

    def say(self, level: str, message: str) -> None:
        """A line of the log, around the display if there is one."""
        if self._display:
            import logging

            logging.getLogger(__name__).log(logging.getLevelNamesMapping()[level.upper()], "%s", message)
        elif LEVELS.index(level) >= LEVELS.index(self._options.log_level):
            print(json_line(level, message) if self._options.log_format == "json" else text_line(level, message))

    def end(self) -> None:
        if self._display:
            self._display.stop()


def _sync_options(options: Sync) -> SyncOptions:
    """Raises NeedsChange when the pins cannot be read, or are none."""
    return SyncOptions(
        deep=options.verify == "deep",
        refresh=options.refresh,
        settings=Settings(
            connections=options.connections,
            stall_timeout_s=min(options.stall_timeout, options.give_up_after),
            give_up_s=options.give_up_after,
        ),
        lock_expiry_s=options.lock_expiry,
        peers=options.peer,
        peer_token=os.environ.get("MODELCACHE_PEER_TOKEN", "").strip(),
        pins=read_pins("--pins", options.pins) if options.pins else {},
    )


def _internal_error(error: Exception, progress: Progress) -> SyncError:
    """A fault of our own: its traceback goes to the log, and the report says that it is one."""
    import logging

    logging.getLogger(__name__).error("unexpected error", exc_info=error)
    cause = f"syncing: unexpected {type(error).__name__}: {error}"
    failure = TryAgain(Reason.INTERNAL_ERROR, f"{cause}. Report it, with the log")
    progress.failed(failure)
    return failure


def _report(progress: Progress, path: str | None) -> None:
    from init_sync.app.report_file import destination, leave_report

    if destination(path) is not None:  # a warm start that nobody asks makes no report
        leave_report(progress.report(), path)
