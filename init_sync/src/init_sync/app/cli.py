"""The commands. Output for programs and logs goes to stdout, the one line that says what failed to stderr."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from init_sync.app.arguments import Commands, make_parser
from init_sync.core.errors import ManifestError, SyncError
from init_sync.core.reasons import Reason

if TYPE_CHECKING:
    from init_sync.app.progress import Progress
    from init_sync.app.sync import Run
    from init_sync.app.tracker import Tracker
    from init_sync.core.report import Report
    from init_sync.core.settings import SyncOptions


def run(arguments: list[str]) -> int:
    """Parse the arguments and do what they say; returns the exit code."""
    options = make_parser(Commands(_sync, _verify, _status)).parse_args(arguments)
    try:
        code = int(options.command(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `init-sync status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SyncError as error:
        return _refuse(error)


def _sync(options: argparse.Namespace) -> int:
    from init_sync.app import logs

    logs.set_up(options.log_format)
    os.umask(os.umask(0o077) & ~0o070)  # files of a shared volume belong to its group, whoever syncs it
    from init_sync.app.specfile import read_manifest
    from init_sync.app.sync import Run
    from init_sync.app.tracker import Tracker
    from init_sync.volume.layout import Volume

    try:
        manifest = read_manifest(options.spec)
    except ManifestError as error:
        refused = _invalid(error)
        _write_report(lambda: refused, options.report)
        raise
    tracker = Tracker(manifest)
    work = _Work(options, tracker)
    job = Run(manifest, Volume(options.volume), _sync_options(options), tracker, work.begin)
    _handle_signals(job, tracker, options.report)
    try:
        job.execute()
        return 0
    except SyncError as error:
        tracker.tell(error)
        raise
    finally:
        work.end()
        _write_report(tracker.report, options.report)


def _verify(options: argparse.Namespace) -> int:
    from init_sync.app.specfile import read_manifest
    from init_sync.app.table import findings_text, status_table
    from init_sync.app.verify import verify
    from init_sync.volume.layout import Volume

    verification = verify(read_manifest(options.spec), Volume(options.volume), deep=options.deep)
    print(status_table(verification.report))
    if verification.report.complete:
        return 0
    print()
    print(findings_text(verification.report, verification.findings))
    return 1


def _status(options: argparse.Namespace) -> int:
    from init_sync.app.table import findings_text, status_table

    try:
        report = _status_report(options)
    except SyncError as error:
        if options.json:
            print(_invalid(error).text())
        raise
    if options.json:
        print(report.text())
        return 0 if report.complete else 1
    print(status_table(report))
    if report.complete:
        return 0
    print(f"\n{findings_text(report, {})}")
    return 1


def _status_report(options: argparse.Namespace) -> Report:
    from init_sync.app.specfile import read_manifest
    from init_sync.app.tracker import Tracker
    from init_sync.app.verify import verify
    from init_sync.volume.layout import Volume

    manifest = read_manifest(options.spec)
    try:
        return verify(manifest, Volume(options.volume)).report
    except SyncError as error:
        if options.json:
            tracker = Tracker(manifest)
            tracker.fail(error)
            print(tracker.report().text())
            raise SystemExit(_refuse(error)) from error
        raise


class _Work:
    """What only a run with work to do needs: progress and the metrics port."""

    def __init__(self, options: argparse.Namespace, tracker: Tracker) -> None:
        self._options = options
        self._tracker = tracker
        self._progress: Progress | None = None

    def begin(self) -> None:
        if self._progress:
            return
        gc.enable()
        from init_sync.app.progress import Progress

        self._progress = Progress(self._tracker, self._options.log_format == "text" and sys.stderr.isatty())
        self._progress.start()
        if self._options.metrics_port is not None:
            from init_sync.app.metrics import serve

            serve(self._tracker, self._options.metrics_port)

    def end(self) -> None:
        if self._progress:
            self._progress.stop()


def _sync_options(options: argparse.Namespace) -> SyncOptions:
    from init_sync.core.settings import Settings, SyncOptions

    return SyncOptions(
        deep=options.verify == "deep",
        refresh=options.refresh,
        settings=Settings(
            connections=options.connections,
            stall_timeout_s=min(options.stall_timeout, options.give_up_after),
            give_up_s=options.give_up_after,
        ),
        lock_expiry_s=options.lock_expiry,
    )


def _handle_signals(job: Run, tracker: Tracker, report: str | None) -> None:
    """End at once: every byte that was received is recorded, and PID 1 has no default handlers."""

    def end(number: int, _frame: FrameType | None) -> None:
        job.release()
        tracker.fail(SyncError(Reason.INTERRUPTED, f"interrupted by {signal.Signals(number).name}"))
        _write_report(tracker.report, report)
        text = f"init-sync: interrupted by {signal.Signals(number).name}; another run continues from here\n"
        os.write(2, text.encode())
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _write_report(make: Callable[[], Report], path: str | None) -> None:
    from init_sync.app.report_file import destination, write_report

    place = destination(path)
    if place is None:
        return
    try:
        write_report(make(), place)
    except OSError as error:
        print(f"init-sync: the report could not be written to {place}: {error.strerror}", file=sys.stderr)


def _invalid(error: SyncError) -> Report:
    """The report of a run that did not get as far as looking at a model."""
    from init_sync.core.report import ModelReport, Report

    model = ModelReport(name="", complete=False, revision="", reason=error.reason, message=error.message)
    return Report("", (model,))


def _refuse(error: SyncError) -> int:
    message = " ".join(error.message.split())
    print(f"init-sync: error: {error.reason}: {message}", file=sys.stderr, flush=True)
    return error.exit_code
