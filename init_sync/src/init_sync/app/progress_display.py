"""Progress of long work: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

from init_sync.shell import logs
from init_sync.shell.formatting import duration, percent, size
from init_sync.shell.log_settings import LogSettings
from init_sync.sync.progress import Progress

log = logging.getLogger(__name__)

BAR_EVERY_S = 0.25
LINE_EVERY_S = 10.0
FALLBACK_COLUMNS = 100


class AroundBar(logging.StreamHandler[TextIO]):
    """Writes lines above the bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        bar = sys.modules.get("tqdm")
        if bar is None:
            super().emit(record)
        else:
            with bar.tqdm.external_write_mode(file=self.stream):
                super().emit(record)


def set_up_log(settings: LogSettings, stream: TextIO) -> None:
    """Of the hub's libraries only errors: what passes is retried, and told by us."""
    logs.set_up(settings, "init_sync", stream, AroundBar(stream))
    for library in ("huggingface_hub", "httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.ERROR)


class ProgressDisplay:
    """Watches a progress from a thread of its own until it is stopped."""

    def __init__(self, progress: Progress, on_terminal: bool) -> None:
        self._progress = progress
        self._on_terminal = on_terminal
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            watch = self._draw if self._on_terminal else self._write_lines
            self._thread = threading.Thread(target=watch, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _write_lines(self) -> None:
        before = ""
        while not self._stop.wait(LINE_EVERY_S):
            line = progress_line(self._progress)
            if line != before:
                log.info("%s", line)
            before = line

    def _draw(self) -> None:
        from tqdm import tqdm

        layout = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {postfix}"
        known = os.get_terminal_size(sys.stderr.fileno()).columns  # 0 on a terminal that was just made
        with tqdm(
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            bar_format=layout,
            file=sys.stderr,
            leave=False,
            ncols=None if known else FALLBACK_COLUMNS,
        ) as bar:
            while not self._stop.wait(BAR_EVERY_S):
                self._refresh(bar)

    def _refresh(self, bar: tqdm[Any]) -> None:
        report = self._progress.report()
        bar.total = report.bytes_total or None
        bar.n = report.bytes_present
        left = f", {duration(report.eta_seconds)} left" if report.eta_seconds is not None else ""
        bar.set_postfix_str(f"{size(report.bytes_per_second)}/s{left} {self._progress.activity}", refresh=True)


def progress_line(progress: Progress) -> str:
    """``42% (36.2 GiB of 86.2 GiB), 310 MiB/s, 2m44s left: Wan2.1-I2V-14B-480P/Wan2.1_VAE.pth``."""
    report = progress.report()
    if not report.bytes_fetched and progress.bytes_verified:
        return f"Verifying: {size(progress.bytes_verified)} read so far"
    done = f"{percent(report.bytes_present, report.bytes_total)}%"
    line = f"{done} ({size(report.bytes_present)} of {size(report.bytes_total)}), {size(report.bytes_per_second)}/s"
    if report.eta_seconds is not None:
        line += f", {duration(report.eta_seconds)} left"
    return f"{line}: {progress.activity}" if progress.activity else line
