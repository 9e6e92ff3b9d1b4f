"""A line of the log: text for people, or one JSON object for collectors. docs/logs.md specifies both.

    text   gate removed namespace=default cache=multitalk pod=serve-0 waited_s=123.4
    json   {"time": "2026-11-23T01:02:03.456789Z", "level": "info", "message": "gate removed", "pod": "serve-0", ...}

No text makes a line of its own or turns a terminal: line breaks, escapes, C1 codes and marks of direction are written
as ``\\u001b``. JSON is ASCII alone, so that any terminal and collector takes it. Text lines carry no
time: a container runtime adds its own.

Kept apart from ``logs``, because a warm start writes lines without importing ``logging``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from init_sync.shell.formatting import printable, timestamp

NO_FIELDS: Mapping[str, Any] = {}


def text_line(level: str, message: str, fields: Mapping[str, Any] = NO_FIELDS, exception: str = "", **_: object) -> str:
    """The message and its fields, with the level in front unless it is information; then the traceback, indented."""
    words = [] if level == "info" else [f"{level}:"]
    words += [printable(message), *(f"{key}={_quoted(value)}" for key, value in fields.items())]
    return "\n    ".join([" ".join(words), *map(printable, exception.splitlines())])


def json_line(
    level: str,
    message: str,
    fields: Mapping[str, Any] = NO_FIELDS,
    exception: str = "",
    logger: str = "",
    at_s: float | None = None,
) -> str:
    data = {
        "time": timestamp(time.time() if at_s is None else at_s),
        "level": level,
        **({"logger": logger} if logger else {}),
        "message": message,
        **fields,
        **({"exception": exception} if exception else {}),
    }
    return json.dumps(data, default=str)


def _quoted(value: object) -> str:
    """A value that ends where its field ends, whatever it holds."""
    text = str(value)
    plain = text and text.isprintable() and not set(' "=') & set(text)
    return text if plain else printable(json.dumps(text, ensure_ascii=False))
