"""Log lines on stdout: plain text for people, or one JSON object a line for log collectors.

    text   Base model complete: False
    json   {"time": "2026-11-23T01:02:03.456Z", "level": "info", "message": "Base model complete: False"}

Text lines carry no time: a container runtime adds its own. Warnings and errors say so in front.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from init_sync.core.formatting import accept_any_text, printable


class TextFormat(logging.Formatter):
    """The message, with its level in front when it is more than information."""

    def format(self, record: logging.LogRecord) -> str:
        text = printable(super().format(record), keep="\n" if record.exc_info else "")
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


class JsonFormat(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        import json

        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


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
    import time

    accept_any_text(stream or sys.stdout)
    handler = OutputHandler(stream or sys.stdout)
    formatter = JsonFormat() if log_format == "json" else TextFormat("%(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("init_sync").setLevel(logging.INFO)
    for library in ("huggingface_hub", "httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.ERROR)
