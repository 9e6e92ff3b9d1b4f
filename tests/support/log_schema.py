"""The JSON of log lines, as docs/logs.md specifies it for every program."""

from __future__ import annotations

import re
from typing import Any

KEYS = {"time", "level", "logger", "message", "exception"}
LEVELS = {"debug", "info", "warning", "error", "critical"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
FIELD = re.compile(r"[a-z][a-z0-9_]*")


def check_log_line(line: dict[str, Any]) -> None:
    assert TIME.fullmatch(line["time"]), line
    assert line["level"] in LEVELS, line
    assert line["message"], line
    for key in ("message", "logger", "exception"):
        assert isinstance(line.get(key, ""), str), line
    for key in line.keys() - KEYS:
        assert FIELD.fullmatch(key), line
        assert isinstance(line[key], str | int | float | bool), line
