"""HTTP/1.1 requests read from a socket, and the head of an answer as bytes.

Understands what the hub's clients send: a request line, headers, a body with Content-Length. No chunked request
bodies, no trailers, no upgrades, no pipelining beyond what buffering gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO

from .answers import Answer

_MAX_LINE = 64 * 1024
_MAX_HEADERS = 200
_MAX_BODY = 8 * 1024 * 1024


class BadRequestError(ValueError):
    """The bytes on the connection are no HTTP request that this server understands."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request as read; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


def read_request(stream: BinaryIO) -> Incoming | None:
    """Read the next request; None when the client has left between two requests."""
    line = _line(stream)
    if not line:
        return None
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequestError(f"request line {line[:80]!r}")
    headers = _headers(stream)
    persistent = parts[2] != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Incoming(parts[0], parts[1], headers, _body(stream, headers), persistent)


def answer_head(answer: Answer, *, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    headers = {"Date": formatdate(usegmt=True), "Content-Length": str(answer.length), **answer.headers}
    if not keep_alive:
        headers["Connection"] = "close"
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = _line(stream)
        if not line:
            return headers
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError(f"header line {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    raise BadRequestError(f"more than {_MAX_HEADERS} headers")


def _body(stream: BinaryIO, headers: dict[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise BadRequestError("Transfer-Encoding: send a Content-Length instead")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _MAX_BODY:
        raise BadRequestError(f"Content-Length {length!r}")
    return stream.read(int(length))


def _line(stream: BinaryIO) -> str:
    line = stream.readline(_MAX_LINE + 1)
    if len(line) > _MAX_LINE:
        raise BadRequestError(f"a line of more than {_MAX_LINE} bytes")
    return line.decode("latin-1").rstrip("\r\n")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
