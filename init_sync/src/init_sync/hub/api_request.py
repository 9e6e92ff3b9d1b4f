"""One request to the hub's API, answered with JSON: within a budget of bytes, whatever the server sends.

An answer is read in pieces and unpacked by us, because a library that does both at once takes as much memory as the
server likes. The client (``library``) follows redirects, and leaves the token out when one leads to another server.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from init_sync.core.crosscheck import Inconsistent
from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.failures import failure, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx2 import Client, Response

MIB = 1 << 20
MAX_LISTING_BYTES = 64 * MIB
"""Of all answers that make one listing; 100,000 files take about 40 MiB. Unpacked, and with those that were retried."""
MAX_ANSWER_BYTES = 12 * MIB
MAX_ANSWER_VALUES = 500_000
"""Commas and brackets in one answer: three bytes of JSON can become 60 of memory. A file has 2 to 12 of them."""
TELLING_CODES = ("RepoNotFound", "RevisionNotFound", "GatedRepo")


class PathMissing(NeedsChange):
    """There is nothing at that path, and no word of a hub about the reason: perhaps a mirror that lacks it."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer that was read and parsed."""

    data: Any
    headers: Mapping[str, str]
    size: int
    """Bytes of the body."""
    next_link: str | None
    """What the Link header names as the next page."""


class ApiRequests:
    """The requests that make one listing; they share one budget of bytes."""

    def __init__(self, client: Callable[[], Client], headers: Callable[[], dict[str, str]], doing: str) -> None:
        self._client = client
        self._headers = headers
        self._doing = doing
        self._left = MAX_LISTING_BYTES

    def get(self, url: str) -> ApiAnswer:
        """Raises what ``failures.failure`` makes of an error, PathMissing, Inconsistent, or an error of the client."""
        with self._sent("GET", url) as response:
            if response.status_code >= 400:
                raise self._refused(response)
            if not 200 <= response.status_code < 300:
                raise ValueError(f"status {response.status_code}")
            body = self._body(response)
            link = response.links.get("next", {}).get("url")
            return ApiAnswer(_parsed(body), response.headers, len(body), link)

    def head(self, url: str) -> Mapping[str, str]:
        """The head of the first answer; redirects are not followed, because the hub's own answer has what matters."""
        with self._sent("HEAD", url) as response:
            if response.status_code >= 400:
                raise self._refused(response)
            return response.headers

    @contextmanager
    def _sent(self, method: str, url: str) -> Iterator[Response]:
        client = self._client()
        request = client.build_request(method, url, headers={**self._headers(), "Accept-Encoding": "gzip"})
        response = client.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _body(self, response: Response) -> bytes:
        limit = min(MAX_ANSWER_BYTES, self._left)
        unpack = _unpacker(response.headers.get("Content-Encoding", ""))
        body = bytearray()
        for piece in response.iter_raw():
            body += unpack(piece, limit + 1 - len(body))
            if len(body) > limit:
                raise Inconsistent(
                    f"the answers are too long for a listing: {MAX_ANSWER_BYTES // MIB} MiB each and "
                    f"{MAX_LISTING_BYTES // MIB} MiB together are read at most"
                )
        self._left -= len(body)
        return bytes(body)

    def _refused(self, response: Response) -> Exception:
        status, code = response.status_code, response.headers.get("X-Error-Code")
        with_token = "Authorization" in response.request.headers
        refused = failure(status, response.headers, self._doing, with_token=with_token)
        if status not in (404, 405, 410, 501) or code in TELLING_CODES:
            return refused
        if isinstance(refused, NeedsChange) and refused.reason is Reason.HUB_UNREACHABLE:
            return PathMissing(refused.reason, refused.message)
        message = refusal(Reason.REPO_NOT_FOUND, self._doing, f"the hub answered {status}").message
        return PathMissing(Reason.REPO_NOT_FOUND, message)


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """A function from a piece and the most bytes it may become to these bytes."""
    if encoding.strip().lower() in ("", "identity"):
        return lambda piece, most: piece[:most]
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise ValueError(f"Content-Encoding {encoding[:40]!r}, which was not asked for")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def unpack(piece: bytes, most: int) -> bytes:
        try:
            return inflate.decompress(piece, most)
        except zlib.error as error:
            raise ValueError(f"not gzip: {error}") from error

    return unpack


def _parsed(body: bytes) -> Any:
    values = sum(body.count(mark) for mark in (b",", b"[", b"{"))
    if values > MAX_ANSWER_VALUES:
        raise Inconsistent(f"an answer has {values} values, {MAX_ANSWER_VALUES} are read at most")
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
