"""The head of a request, read strictly: what two programs could understand differently is refused (RFC 9112).

Refused: bare line feeds, folded fields, control characters, two lengths or hosts, any Transfer-Encoding,
HTTP/1.1 without a Host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_HEAD_BYTES = 16 << 10
MAX_FIELDS = 64
MAX_BODY_BYTES = 64 << 10
"""Of a POST that asks for some paths, the only request with a body."""
LINE = re.compile(rb"([A-Z]{1,16}) (?:http://[^/ ]{1,255})?(/[\x21-\x7e]*) HTTP/1\.([01])")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,255}")
LENGTH = re.compile(r"[0-9]{1,12}")


class BadRequest(Exception):
    """A request that is not answered but with ``status``; its connection is closed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A head; ``target`` is path and query as they were sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By name in lower case."""
    keep_alive: bool
    body_bytes: int


def read_head(head: bytes) -> Request:
    """``head`` ends before the empty line. Raises BadRequest."""
    first, *lines = head.split(b"\r\n")
    match = LINE.fullmatch(first)
    if not match:
        raise BadRequest(400, "no request line of HTTP/1.0 or 1.1")
    if len(lines) > MAX_FIELDS:
        raise BadRequest(431, f"more than {MAX_FIELDS} header fields")
    method, target, minor = (group.decode("ascii") for group in match.groups())
    headers = _fields(lines)
    if not HOST.fullmatch(headers.get("host", "" if minor == "1" else "-")):
        raise BadRequest(400, "no valid Host")
    tokens = [token.strip().lower() for token in headers.get("connection", "").split(",")]
    return Request(method, target, headers, minor == "1" and "close" not in tokens, _body_bytes(method, headers))


def _fields(lines: list[bytes]) -> dict[str, str]:
    """A field that comes twice is a list, which is no valid Host, length, token or range."""
    headers: dict[str, str] = {}
    for line in lines:
        match = FIELD.fullmatch(line)
        if not match:
            raise BadRequest(400, "a header field that is not valid")
        name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _body_bytes(method: str, headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not LENGTH.fullmatch(length):
        raise BadRequest(400, "a body needs one valid Content-Length, and no Transfer-Encoding")
    if "expect" in headers:
        raise BadRequest(417, "nothing is expected of a body")
    if int(length) > (MAX_BODY_BYTES if method == "POST" else 0):
        raise BadRequest(413, "no body is taken but a list of paths")
    return int(length)
