"""``init-sync scrub``: its log, metrics port, signals and report. What is read and recorded: ``sync.scrub``."""

from __future__ import annotations

import gc
import logging
import os
import sys
from functools import partial

from init_sync.app.arguments import Scrub
from init_sync.app.progress_display import set_up_log
from init_sync.app.report_file import leave_report
from init_sync.app.signals import end_at_signals
from init_sync.app.specfile import read_manifest
from init_sync.core.errors import SyncError
from init_sync.core.fields import duration_s, quantity_bytes
from init_sync.core.report import refused_report
from init_sync.shell.idle import KNOWING, become_idle, disk_scheduler
from init_sync.sync.progress import Progress
from init_sync.sync.scrub import Scrub as Run
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)


def scrub(options: Scrub) -> int:
    """Returns 0 when nothing is damaged or incomplete, else 1. The report is written in any case.

    Raises:
        SyncError: it could not be told.
    """
    os.umask(os.umask(0o077) & ~0o070)  # files of a shared volume belong to its group
    gc.enable()
    set_up_log(options, sys.stdout)
    progress: Progress | None = None
    refused: SyncError | None = None
    try:
        manifest = read_manifest(options.spec)
        progress = Progress(manifest)
        _run(options, progress)
        return 0 if progress.complete else 1
    except SyncError as error:
        refused = error
        if progress:
            progress.failed(error)
        raise
    finally:
        if progress or refused:
            leave_report(progress.report() if progress else refused_report(refused), options.report)  # type: ignore[arg-type]


def _run(options: Scrub, progress: Progress) -> None:
    volume = Volume(options.volume)
    rate, older_than_s = quantity_bytes(options.rate), duration_s(options.older_than)
    begin = partial(_lower_priority, volume)
    run = Run(progress.manifest, volume, progress, rate=rate, older_than_s=older_than_s, begin=begin)

    def end(error: SyncError) -> None:  # what was not recorded yet is read again
        run.release()
        progress.failed(error)
        leave_report(progress.report(), options.report)

    end_at_signals(end)
    if options.metrics_port is not None:
        from init_sync.app.metrics import serve

        serve(progress, options.metrics_port)
    run.run()


def _lower_priority(volume: Volume) -> None:
    """Of the thread that calls this."""
    processor, disk = become_idle()
    try:
        scheduler = disk_scheduler(os.fstat(volume.descriptor).st_dev)
    except OSError:
        return  # the run says what is wrong with the volume
    knows = "knows" if scheduler in KNOWING else "does not know"
    what = (
        f"the disk's scheduler, {scheduler}, {knows} it"
        if scheduler
        else "whether its disk knows that is not to be seen"
    )
    log.info("Priority: %s for the processor, %s for the volume (%s)", processor, disk, what)
