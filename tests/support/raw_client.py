"""An HTTP client that follows nothing, retries nothing and hides nothing: for asserting on single answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

Headers = Mapping[str, str]

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Got:
    """One answer, read to its end; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: bytes | None = None, headers: Headers | None = None) -> Got:
    """Send one request on a connection of its own."""
    connection = connect(url)
    try:
        return ask_on(connection, url, method, body, headers)
    finally:
        connection.close()


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)


def ask_on(
    connection: http.client.HTTPConnection,
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Headers | None = None,
) -> Got:
    """Send one request on an open connection, to see what keep-alive does."""
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def signed_url(endpoint: str, repo: str, file: str, revision: str = "main", headers: Headers | None = None) -> str:
    """Resolve a file in LFS to the URL of its bytes."""
    got = ask(f"{endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(file)}", "HEAD", headers=headers)
    if got.status != 302:
        raise ValueError(f"resolving {file} of {repo}: the hub answered {got.status}, not a redirect")
    return got.headers["location"]
