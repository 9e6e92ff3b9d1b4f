"""Where the bytes of one file come from: the address of the file, and the signed address that it redirects to.

The server is asked once for a signed address, which then serves every piece of the file; when it expires (403), the
server is asked again. Its own headers, the token among them, go to its own origin and nowhere else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from init_sync.core.reasons import Reason
from init_sync.hub.failures import failure
from init_sync.hub.origin import origin
from init_sync.hub.quoting import quoted
from init_sync.hub.redirects import follow, may_have_token
from init_sync.hub.response import Response
from init_sync.hub.retry import Transient
from init_sync.hub.transport import Connections

EXPIRED = (400, 401, 403, 404, 410)
"""What storage services answer for a signed address that is no longer good."""
MAX_RENEWALS = 3
PATIENCE_WITH_RANGES = 2
"""Whole files sent for a range before the server is believed not to know ranges."""
GZIP = ("gzip", "x-gzip")


class WholeFileOnly(Exception):
    """This server answers ranges with the whole file."""


class Source:
    """One file on a server. Shared by the workers that fetch its pieces."""

    def __init__(self, url: str, headers: Mapping[str, str], size: int, label: str, *, direct: bool = False) -> None:
        """``direct``: by no proxy and along no redirect."""
        self._url = url
        self._headers = dict(headers)
        self._size = size
        self._direct = direct
        self.label = label
        """Which file of which repository, for messages."""
        self._signed: str | None = None
        self._renewals = 0
        self._ignored_ranges = 0
        self._failed_asks = 0
        self._failure: Transient | None = None
        self._guard = threading.Lock()
        self.etag: str | None = None
        """As the server last gave it; sent back as If-Range, so that a changed file is noticed at once."""
        self.whole_only = False

    def open(self, connections: Connections, start: int, end: int) -> Response:
        """Ask for bytes [start, end); the body of the response begins at ``start`` and holds them at least.

        Raises:
            Transient: worth another attempt.
            NeedsChange: refused, or not there.
            WholeFileOnly: ranges do not work here; ask for [0, size) from now on.
        """
        whole = start == 0 and (end == self._size or self.whole_only)
        if self.whole_only and not whole:
            raise WholeFileOnly
        response = self._ask(connections, self._range(start, end, whole))
        if response.status == 206 and not whole:
            return self._checked_range(response, start)
        if response.status == 200 and whole:
            return self._checked_whole(response)
        if response.status == 200:
            self._range_ignored(response)
        response.abandon()
        raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: unexpected answer {response.status} to a range")

    def succeeded(self) -> None:
        """Bytes came: earlier renewals do not count against the file any more."""
        self._renewals = 0

    def forget(self) -> None:
        """Ask the server for another address: what came from this one was wrong."""
        with self._guard:
            self._signed, self.etag = None, None

    def _range(self, start: int, end: int, whole: bool) -> dict[str, str]:
        if whole:
            return {}
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if self.etag and start:
            headers["If-Range"] = self.etag
        return headers

    def _ask(self, connections: Connections, range_headers: Mapping[str, str]) -> Response:
        if self._signed is None:
            failed_before = self._failed_asks
            with self._guard:  # the workers on one file need one signed address between them
                if self._signed is None:
                    return self._ask_once(connections, range_headers, failed_before)
        signed = self._signed
        response = connections.get(signed, {**_IDENTITY, **range_headers}, named_by=self._url)
        return self._checked_status(response, signed)

    def _ask_once(self, connections: Connections, range_headers: Mapping[str, str], failed_before: int) -> Response:
        """A worker that waited while another one asked in vain shares that failure, instead of waiting for its own."""
        if self._failed_asks != failed_before and self._failure:
            raise Transient(self._failure.reason, self._failure.message, self._failure.retry_after_s)
        try:
            return self._ask_server(connections, range_headers)
        except Transient as error:
            self._failed_asks += 1
            self._failure = error
            raise

    def _ask_server(self, connections: Connections, range_headers: Mapping[str, str]) -> Response:
        headers = {**_IDENTITY, **range_headers}
        doing = f"fetching {self.label}"
        here, response = follow(
            connections, self._url, self._headers, headers, doing, self._remember, direct=self._direct
        )
        return self._checked_status(response, here)

    def _remember(self, address: str) -> None:
        """A signed address is kept before it has answered: when it does not, it is the storage that is away."""
        if not may_have_token(self._url, address):
            self._signed = address

    def _checked_status(self, response: Response, asked: str) -> Response:
        own = may_have_token(self._url, asked)
        if response.status in EXPIRED and not own and "X-Error-Code" not in response.headers:
            self._renew(response, asked)
        if response.status == 416:
            length = response.headers.get("Content-Range", "").rpartition("/")[2]
            has = f"{length} bytes there" if length.isdecimal() else f"shorter there ({response.content})"
            response.drain()
            raise Transient(Reason.SIZE_MISMATCH, f"{self.label}: {has}, {self._size} were listed")
        if response.status >= 400:
            response.drain()
            host = "the hub" if origin(asked) == origin(self._url) else str(response.origin)
            with_token = own and "authorization" in map(str.lower, self._headers)
            raise failure(response.status, response.headers, f"fetching {self.label}", host, with_token)
        etag = response.headers.get("ETag", "")
        self.etag = etag if etag.startswith('"') else None  # a weak one may not be used for ranges
        return response

    def _renew(self, response: Response, signed: str) -> None:
        response.drain()
        if self._signed == signed:
            self._signed = None
        self._renewals += 1
        if self._renewals <= MAX_RENEWALS:
            raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: its signed address expired", retry_after_s=0.0)
        again = f"its signed address is refused again and again ({response.status} by {response.origin})"
        raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: {again}")

    def _checked_range(self, response: Response, start: int) -> Response:
        got = response.headers.get("Content-Range")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", got or "")
        if not match or int(match.group(1)) != start or match.group(3) not in ("*", str(self._size)):
            asked = f"asked from byte {start} of {self._size}, got {quoted(got or 'no range', 60)}"
            raise self._unlike(response, asked)
        if self._encoding(response):
            raise self._packed(response)
        self._ignored_ranges = 0
        return response

    def _checked_whole(self, response: Response) -> Response:
        encoding = self._encoding(response)
        if encoding in GZIP:
            response.unpack()
        elif encoding:
            raise self._packed(response)
        elif response.length not in (None, self._size):
            raise self._unlike(response, f"{response.length} bytes offered, {self._size} were listed")
        response.expect(self._size)
        return response

    def _range_ignored(self, response: Response) -> None:
        if not self._encoding(response) and response.length not in (None, self._size):
            raise self._unlike(response, f"{response.length} bytes offered, {self._size} were listed")
        response.abandon()
        self._ignored_ranges += 1
        if self._ignored_ranges > PATIENCE_WITH_RANGES:
            self.whole_only = True
            raise WholeFileOnly
        # The file changed under If-Range, or this one answer ignored the range: ask once more without a condition.
        self.etag = None
        raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: a range was answered with the whole file", 0.0)

    def _unlike(self, response: Response, problem: str) -> Transient:
        """Something else than the file is served: told by its kind, and the connection is kept."""
        message = f"{self.label}: {problem} ({response.content})"
        response.drain()
        return Transient(Reason.SIZE_MISMATCH, message)

    def _packed(self, response: Response) -> Transient:
        response.abandon()
        way = (
            f"it arrives compressed (Content-Encoding: {quoted(self._encoding(response), 40)}), which was not asked for"
        )
        return Transient(
            Reason.HUB_UNREACHABLE, f"{self.label}: {way}. A proxy or mirror on the way must leave files as they are"
        )

    def _encoding(self, response: Response) -> str:
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        return "" if encoding == "identity" else encoding


_IDENTITY = {"Accept-Encoding": "identity"}
