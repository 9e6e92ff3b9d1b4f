"""Log records as lines on a stream. What a line looks like is in ``lines``.

Fields come from ``log.info("gate removed", extra=fields(pod="serve-0"))``. INFO tells changes of state only.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

from init_sync.shell.formatting import accept_any_text
from init_sync.shell.lines import NO_FIELDS, json_line, text_line
from init_sync.shell.log_settings import LogSettings


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """For ``extra``."""
    return {"fields": values}


class LineFormatter(logging.Formatter):
    """A record as a line of text or JSON."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self._write = json_line if log_format == "json" else text_line

    def format(self, record: logging.LogRecord) -> str:
        return self._write(
            record.levelname.lower(),
            record.getMessage().strip(),
            getattr(record, "fields", NO_FIELDS),
            self.formatException(record.exc_info) if record.exc_info else "",
            logger=record.name,
            at_s=record.created,
        )


def set_up(
    settings: LogSettings, package: str, stream: TextIO | None = None, handler: logging.Handler | None = None
) -> None:
    """The process's log: of ``package`` from the level that is set, of libraries from warnings on. Default: stdout."""
    stream = stream or sys.stdout
    accept_any_text(stream)
    handler = handler or logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(settings.log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(package).setLevel(settings.log_level.upper())
    logging.captureWarnings(capture=True)
