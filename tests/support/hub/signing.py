"""Signed URLs of the second origin, as the hub's CDN hands them out.

``/blobs/owner/name/<commit>/<file>?Expires=<unix seconds>&Serial=<n>&Signature=<hex>``: the signature covers path,
expiry and serial. ``Serial`` counts the URLs handed out, so that all earlier ones can be revoked at once (fault
"expire").
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode


class Signer:
    """Signs and checks URLs for one run of the hub; URLs do not outlive the process."""

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._key = secrets.token_bytes(16)
        self._serials = itertools.count(1)
        self._lock = threading.Lock()
        self._last = 0
        self._revocations: list[tuple[int, Callable[[str], bool]]] = []

    def sign(self, path: str) -> str:
        """Return ``path`` with a query that opens it for a while."""
        with self._lock:
            self._last = next(self._serials)
            serial = str(self._last)
        expires = str(int(self._clock() + self._ttl_s))
        query = {"Expires": expires, "Serial": serial, "Signature": self._signature(path, expires, serial)}
        return f"{path}?{urlencode(query)}"

    def revoke(self, concerns: Callable[[str], bool]) -> None:
        """Refuse from now on every URL handed out so far whose path ``concerns`` accepts."""
        with self._lock:
            self._revocations.append((self._last, concerns))

    def complaint(self, path: str, query: Mapping[str, str]) -> str | None:
        """Say why the URL is refused, None if it is good."""
        expires, serial = query.get("Expires", ""), query.get("Serial", "")
        if not hmac.compare_digest(self._signature(path, expires, serial), query.get("Signature", "")):
            return "AccessDenied: the signature is missing or does not fit this URL"
        revoked = any(int(serial) <= until and concerns(path) for until, concerns in self._revocations)
        if revoked or self._clock() >= int(expires):
            return "AccessDenied: Request has expired"
        return None

    def _signature(self, path: str, expires: str, serial: str) -> str:
        message = f"{path}\n{expires}\n{serial}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
