"""HTTP/1.1 as the hub speaks it: requests as read from a socket, and answers before any fault spoils them.

Understands what the hub's clients send: a request line, headers, a body with Content-Length. No chunked request bodies,
no trailers, no upgrades. An answer has its body in memory or in a file, with ``Range`` and ``If-Range`` applied as
RFC 9110 has it; several ranges in one header are answered with the whole file, as the hub's CDN does.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import responses
from pathlib import Path
from typing import Any, BinaryIO

Headers = dict[str, str]
_MAX_LINE = 64 * 1024
_MAX_BODY = 8 * 1024 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class BadRequestError(ValueError):
    """The bytes on the connection are no HTTP request that this server understands."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request as read; header names in lower case."""

    method: str
    target: str
    headers: Headers
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class FileSlice:
    """``length`` bytes of a file from ``offset`` on; the byte at ``flipped`` (a file offset) is sent inverted."""

    path: Path
    offset: int
    length: int
    flipped: int | None = None

    def covers(self, position: int) -> bool:
        return self.offset <= position < self.offset + self.length


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Headers = field(default_factory=dict)
    body: bytes | FileSlice = b""

    @property
    def length(self) -> int:
        return self.body.length if isinstance(self.body, FileSlice) else len(self.body)


def read_request(stream: BinaryIO) -> Incoming | None:
    """Read the next request; None when the client has left between two requests."""
    line = _line(stream)
    if not line:
        return None
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequestError(f"request line {line[:80]!r}")
    headers: Headers = {}
    while line := _line(stream):
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError(f"header line {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _MAX_BODY or "transfer-encoding" in headers:
        raise BadRequestError("the body needs a Content-Length, and not too large a one")
    keep_alive = parts[2] != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Incoming(parts[0], parts[1], headers, stream.read(int(length)), keep_alive)


def answer_head(answer: Answer, *, keep_alive: bool) -> bytes:
    headers = {"Date": formatdate(usegmt=True), "Content-Length": str(answer.length), **answer.headers}
    if not keep_alive:
        headers["Connection"] = "close"
    lines = [
        f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def json_answer(value: Any, status: int = 200, headers: Headers | None = None) -> Answer:
    body = json.dumps(value).encode()
    return Answer(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


def error_answer(status: int, message: str, code: str | None = None, headers: Headers | None = None) -> Answer:
    """An error as the hub words it: the client reads code and message from the headers, people from the body."""
    typed = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
    return json_answer({"error": message}, status, typed)


def file_answer(path: Path, size: int, incoming: Incoming, headers: Headers) -> Answer:
    """200, 206 or 416 for a file whose ``headers`` name its ETag."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    # A weak or foreign validator means that the client holds another content: it gets the whole file.
    honoured = incoming.headers.get("if-range") in (None, headers.get("ETag"))
    span = requested_span(incoming.headers.get("range"), size) if honoured else None
    if span is None:
        return Answer(200, headers, FileSlice(path, 0, size))
    if not span:
        return Answer(416, {**headers, "Content-Range": f"bytes */{size}"})
    content_range = f"bytes {span.start}-{span.stop - 1}/{size}"
    return Answer(206, {**headers, "Content-Range": content_range}, FileSlice(path, span.start, len(span)))


def requested_span(header: str | None, size: int) -> range | None:
    """The bytes that a Range header asks for: none of them behind the end, None where the whole file is to be sent."""
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return range(max(0, size - int(match[2])), size)
    first, last = int(match[1]), int(match[2] or size)
    return None if last < first else range(min(first, size), min(last + 1, size))


def _line(stream: BinaryIO) -> str:
    line = stream.readline(_MAX_LINE + 1)
    if len(line) > _MAX_LINE:
        raise BadRequestError(f"a line of more than {_MAX_LINE} bytes")
    return line.decode("latin-1").rstrip("\r\n")
