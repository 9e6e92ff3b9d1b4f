"""Where the bytes of one file come from: the hub's address for it, and the signed address that it redirects to.

The hub is asked once for a signed address, which then serves every piece of the file; when it expires (403), the hub
is asked again. The token goes to the hub's own origin and nowhere else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from urllib.parse import urljoin

from init_sync.core.reasons import Reason
from init_sync.hub.failures import failure
from init_sync.hub.retry import Transient
from init_sync.hub.transport import Answer, Connections, origin

MAX_REDIRECTS = 5
EXPIRED = (400, 401, 403, 404, 410)
"""What storage services answer for a signed address that is no longer good."""
MAX_RENEWALS = 3
PATIENCE_WITH_RANGES = 2
"""Whole files sent for a range before the server is believed not to know ranges."""


class WholeFileOnly(Exception):
    """This server answers ranges with the whole file."""


class Source:
    """One file on a hub. Shared by the workers that fetch its pieces."""

    def __init__(self, url: str, headers: Mapping[str, str], size: int, label: str) -> None:
        self._url = url
        self._headers = dict(headers)
        self._size = size
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

    def open(self, connections: Connections, start: int, end: int) -> Answer:
        """Ask for bytes [start, end); the answer's body begins at ``start`` and holds them at least.

        Raises:
            Transient: worth another attempt.
            NeedsChange: refused, or not there.
            WholeFileOnly: ranges do not work here; ask for [0, size) from now on.
        """
        whole = start == 0 and (end == self._size or self.whole_only)
        if self.whole_only and not whole:
            raise WholeFileOnly
        answer = self._ask(connections, self._range(start, end, whole))
        if answer.status == 206 and not whole:
            return self._checked_range(answer, start)
        if answer.status == 200 and whole:
            return self._checked_whole(answer)
        if answer.status == 200:
            self._range_ignored(answer)
        answer.abandon()
        raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: unexpected answer {answer.status} to a range")

    def succeeded(self) -> None:
        """Bytes came: earlier renewals do not count against the file any more."""
        self._renewals = 0

    def forget(self) -> None:
        """Ask the hub for another address: what came from this one was wrong."""
        with self._guard:
            self._signed, self.etag = None, None

    def _range(self, start: int, end: int, whole: bool) -> dict[str, str]:
        if whole:
            return {}
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if self.etag and start:
            headers["If-Range"] = self.etag
        return headers

    def _ask(self, connections: Connections, range_headers: Mapping[str, str]) -> Answer:
        if self._signed is None:
            failed_before = self._failed_asks
            with self._guard:  # the workers on one file need one signed address between them
                if self._signed is None:
                    return self._ask_once(connections, range_headers, failed_before)
        signed = self._signed
        answer = connections.get(signed, {**_IDENTITY, **range_headers})
        if answer.status in EXPIRED:
            self._renew(answer, signed)
        return self._checked_status(answer)

    def _ask_once(self, connections: Connections, range_headers: Mapping[str, str], failed_before: int) -> Answer:
        """Who waited while another worker asked in vain shares that failure, instead of waiting for its own."""
        if self._failed_asks != failed_before and self._failure:
            raise Transient(self._failure.reason, self._failure.message, self._failure.retry_after_s)
        try:
            return self._ask_hub(connections, range_headers)
        except Transient as error:
            self._failed_asks += 1
            self._failure = error
            raise

    def _ask_hub(self, connections: Connections, range_headers: Mapping[str, str]) -> Answer:
        url = self._url
        for _ in range(MAX_REDIRECTS):
            own = origin(url) == origin(self._url)
            answer = connections.get(url, {**(self._headers if own else {}), **_IDENTITY, **range_headers})
            if answer.status in (301, 302, 303, 307, 308) and answer.headers.get("Location"):
                answer.drain()
                url = self._redirected(url, answer.headers["Location"])
                if origin(url) != origin(self._url):
                    self._signed = url
                continue
            if answer.status in EXPIRED and not own:
                self._renew(answer, url)
            return self._checked_status(answer)
        raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: more than {MAX_REDIRECTS} redirects")

    def _redirected(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            origin(target)
        except ValueError as error:
            raise Transient(
                Reason.HUB_UNREACHABLE, f"{self.label}: redirected to what is no address: {error}"
            ) from error
        return target

    def _renew(self, answer: Answer, signed: str) -> None:
        answer.drain()
        if self._signed == signed:
            self._signed = None
        self._renewals += 1
        if self._renewals <= MAX_RENEWALS:
            raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: its signed address expired", retry_after_s=0.0)
        raise Transient(
            Reason.HUB_UNREACHABLE, f"{self.label}: its signed address is refused again and again ({answer.status})"
        )

    def _checked_status(self, answer: Answer) -> Answer:
        if answer.status == 416:
            answer.drain()
            raise Transient(Reason.SIZE_MISMATCH, f"{self.label}: the hub's copy is shorter than it listed")
        if answer.status >= 400:
            answer.drain()
            raise failure(answer.status, answer.headers, f"fetching {self.label}")
        etag = answer.headers.get("ETag", "")
        self.etag = etag if etag.startswith('"') else None  # a weak one may not be used for ranges
        return answer

    def _checked_range(self, answer: Answer, start: int) -> Answer:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not match or int(match.group(1)) != start or match.group(3) not in ("*", str(self._size)):
            answer.abandon()
            got = answer.headers.get("Content-Range")
            raise Transient(Reason.SIZE_MISMATCH, f"{self.label}: asked from byte {start} of {self._size}, got {got}")
        self._ignored_ranges = 0
        return answer

    def _checked_whole(self, answer: Answer) -> Answer:
        if answer.length is not None and answer.length > self._size:
            answer.abandon()
            raise Transient(
                Reason.SIZE_MISMATCH, f"{self.label}: {answer.length} bytes offered, {self._size} were listed"
            )
        return answer

    def _range_ignored(self, answer: Answer) -> None:
        answer.abandon()
        self._ignored_ranges += 1
        if self._ignored_ranges > PATIENCE_WITH_RANGES:
            self.whole_only = True
            raise WholeFileOnly
        # The file changed under If-Range, or this one answer ignored the range: ask once more without a condition.
        self.etag = None
        raise Transient(Reason.HUB_UNREACHABLE, f"{self.label}: a range was answered with the whole file", 0.0)


_IDENTITY = {"Accept-Encoding": "identity"}
