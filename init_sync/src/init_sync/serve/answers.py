"""Answers before they are sent: the hub's errors, JSON, and which bytes of a file are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from init_sync.serve.content import Content
from init_sync.shell.formatting import printable

RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
MAX_MESSAGE = 300
JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers, and as body either bytes or bytes [start, end) of a file."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: Content | None = None
    start: int = 0
    end: int = 0

    @property
    def length(self) -> int:
        return self.end - self.start if self.content else len(self.body)

    def head(self, *more: tuple[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers.items(), *more)]
        if self.status != HTTPStatus.NOT_MODIFIED:
            lines.append(f"Content-Length: {self.length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status, {"Content-Type": JSON_TYPE, **(headers or {})}, body)


def text_answer(text: str, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())


def error_answer(status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """As the hub has it: clients read ``X-Error-Code``, people the message. What a client sent is escaped and cut."""
    said = printable(message)[:MAX_MESSAGE].encode("ascii", "backslashreplace").decode()
    named = {"X-Error-Code": code} if code else {}
    return json_answer({"error": said}, status, {"X-Error-Message": said, **named, **(headers or {})})


def file_answer(content: Content, sent: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    """The whole file, one range of it, or word that the client has it already; ``sent`` are the request's headers."""
    size, etag = content.recorded.size, headers["ETag"]
    if etag in sent.get("if-none-match", ""):
        return Answer(304, headers)
    if sent.get("if-range", etag) != etag or not (match := RANGE.fullmatch(sent.get("range", ""))):
        return Answer(200, headers, content=content, start=0, end=size)
    first, last = match.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return Answer(200, headers, content=content, start=0, end=size)  # not valid, so it is as if it were not there
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        return Answer(416, {**headers, "Content-Range": f"bytes */{size}"})
    ranged = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return Answer(206, ranged, content=content, start=start, end=end)
