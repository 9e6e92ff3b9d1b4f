"""What the hub answers, before any fault spoils it: status, headers, and a body in memory or in a file.

Pure data and the few shapes that repeat: JSON, the hub's typed errors (``X-Error-Code``, ``X-Error-Message``), a file
with ``Range`` and ``If-Range`` applied. How it gets onto the wire is the business of delivery.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ranges import UnsatisfiableRangeError, parse_range, resolve_range

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class FileSlice:
    """``length`` bytes of a file from ``offset`` on; the byte at ``flipped`` (a file offset) is sent inverted."""

    path: Path
    offset: int
    length: int
    flipped: int | None = None

    def covers(self, position: int) -> bool:
        return self.offset <= position < self.offset + self.length


Body = bytes | FileSlice


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. ``headers`` has no Content-Length unless it differs from the body's length."""

    status: int
    headers: Headers = field(default_factory=dict)
    body: Body = b""

    @property
    def length(self) -> int:
        return self.body.length if isinstance(self.body, FileSlice) else len(self.body)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The request headers that decide which part of a file is sent."""

    range: str | None = None
    if_range: str | None = None


def json_answer(value: Any, status: int = 200, headers: Headers | None = None) -> Answer:
    body = json.dumps(value).encode()
    return Answer(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


def error_answer(status: int, message: str, code: str | None = None, headers: Headers | None = None) -> Answer:
    """An error as the hub words it: the client reads code and message from the headers, people from the body."""
    typed = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
    return json_answer({"error": message}, status, typed)


def file_answer(path: Path, size: int, conditions: Conditions, headers: Headers) -> Answer:
    """200, 206 or 416 for a file whose ``headers`` name its ETag."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    # A weak or foreign validator means that the client holds another content: it gets the whole file.
    honoured = conditions.if_range is None or conditions.if_range == headers.get("ETag")
    try:
        span = resolve_range(parse_range(conditions.range) if honoured else None, size)
    except UnsatisfiableRangeError:
        return Answer(416, {**headers, "Content-Range": f"bytes */{size}"})
    if span is None:
        return Answer(200, headers, FileSlice(path, 0, size))
    body = FileSlice(path, span.first, span.length)
    return Answer(206, {**headers, "Content-Range": span.content_range(size)}, body)
