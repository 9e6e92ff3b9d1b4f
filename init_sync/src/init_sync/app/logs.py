"""Log records as lines on stdout, around a progress bar if there is one. What a line looks like is in ``lines``."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from init_sync.app.lines import json_line, text_line
from init_sync.core.formatting import accept_any_text


class LineFormatter(logging.Formatter):
    """A record as a line of text or JSON."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self._json = log_format == "json"

    def format(self, record: logging.LogRecord) -> str:
        level, message = record.levelname.lower(), record.getMessage()
        exception = self.formatException(record.exc_info) if record.exc_info else ""
        if self._json:
            return json_line(level, message, exception, record.created)
        return text_line(level, message, exception)


class OutputHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stdout`` is, around a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        bar = sys.modules.get("tqdm")
        if bar is None:
            super().emit(record)
        else:
            with bar.tqdm.external_write_mode(file=self.stream):
                super().emit(record)


def set_up(log_format: str, stream: TextIO | None = None) -> None:
    """Send everything from this package at INFO and above to ``stream``, or stdout."""
    accept_any_text(stream or sys.stdout)
    handler = OutputHandler(stream or sys.stdout)
    handler.setFormatter(LineFormatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("init_sync").setLevel(logging.INFO)
    for library in ("huggingface_hub", "httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.ERROR)
