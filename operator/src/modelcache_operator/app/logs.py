"""Log lines on stdout: one JSON object a line for collectors, or text for people.

    json   {"time": "2026-11-23T01:02:03.456789Z", "level": "info", "message": "gate removed", "cache": "qwen", ...}
    text   gate removed namespace=default cache=multitalk pod=serve-0 waited_s=123.4

No text makes a line of its own, or turns a terminal: line breaks, escapes, C1 codes and marks of direction are written
as ``\\u001b``, in kopf's lines too. Only tracebacks have several lines, each indented.

Fields come from ``log.info("...", extra={"fields": {...}})``. INFO tells changes of state only.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from modelcache_operator.core import timestamps
from modelcache_operator.core.reports import CONTROL


def escaped(text: str) -> str:
    """As JSON writes them; in JSON that is what they then stand for."""
    return CONTROL.sub(lambda found: "".join(f"\\u{ord(each):04x}" for each in found[0]), text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = getattr(record, "fields", None)
    return found if isinstance(found, dict) else {}


class JsonFormat(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        data = {
            "time": timestamps.micro_stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            data["exception"] = self.formatException(record.exc_info)
        return escaped(json.dumps(data, ensure_ascii=False, default=str))


class TextFormat(logging.Formatter):
    """The message, then its fields; the level in front when it is more than information."""

    def format(self, record: logging.LogRecord) -> str:
        text = " ".join([record.getMessage(), *(f"{key}={value}" for key, value in _fields(record).items())])
        text = text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n    ".join(escaped(line) for line in (text, *trace))


def set_up(log_format: str, level: str) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormat() if log_format == "json" else TextFormat())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("modelcache_operator").setLevel(level.upper())
