"""The log, on stderr: a line for each event, in words for people and fields for machines.

    2026-11-23 07:51:36,606 level=INFO event=loading component="video autoencoder" bytes=880428
    2026-11-23 07:51:36,619 level=WARNING event=log logger=py.warnings text="..."

A value with blanks or quotes is quoted as in JSON. What was not written for this server, by libraries or the engine, is
an event named `log` with its logger and its text. The traceback of an error follows its line.
"""

from __future__ import annotations

import json
import logging
import re
import sys

PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")
EVENT = "event="


def quoted(value: object) -> str:
    """A value that ends where its field ends, whoever chose it."""
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class Lines(logging.Formatter):
    """Makes every record one of these lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s level=%(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name that logging calls
        if not record.message.startswith(EVENT):
            record.message = f"{EVENT}log logger={record.name} text={quoted(record.message.strip())}"
        return super().formatMessage(record)


def log_to_stderr(level: str) -> None:
    """For the whole process, warnings of libraries included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(capture=True)
