"""The second origin: bytes of large files by signed URL.

``/blobs/owner/name/<commit>/<file>?Serial=<n>&Signature=<hex>``: the signature covers path and serial. ``Serial``
counts the URLs handed out, so that all earlier ones can be revoked at once (fault "expire"); they do not expire by
themselves.

As on the real CDN the ETag is not the sha256 that the API names in X-Linked-Etag, so If-Range needs the ETag of an
earlier answer from here. A request that carries Authorization is answered 400: a client must not send its token to
this origin.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from .messages import Answer, Incoming, file_answer
from .routes import Route, read_query
from .store import RevisionNotFoundError, Snapshot, Store


class Signer:
    """Signs and checks URLs for one run of the hub."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._last = 0
        self._revocations: list[tuple[int, Callable[[str], bool]]] = []

    def sign(self, path: str) -> str:
        """Return ``path`` with a query that opens it."""
        with self._lock:
            self._last += 1
            serial = str(self._last)
        return f"{path}?Serial={serial}&Signature={self._signature(path, serial)}"

    def revoke(self, concerns: Callable[[str], bool]) -> None:
        """Refuse from now on every URL handed out so far whose path ``concerns`` accepts."""
        with self._lock:
            self._revocations.append((self._last, concerns))

    def complaint(self, path: str, query: str) -> str | None:
        """Say why the URL is refused, None if it is good."""
        given = read_query(query)
        serial = given.get("Serial", "")
        if not hmac.compare_digest(self._signature(path, serial), given.get("Signature", "")):
            return "AccessDenied: the signature is missing or does not fit this URL"
        if any(int(serial) <= until and concerns(path) for until, concerns in self._revocations):
            return "AccessDenied: Request has expired"
        return None

    def _signature(self, path: str, serial: str) -> str:
        return hmac.new(self._key, f"{path}\n{serial}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Cdn:
    """Checks signatures and serves slices of files."""

    store: Store
    signer: Signer

    def answer(self, incoming: Incoming, route: Route, path: str, query: str) -> Answer:
        if "authorization" in incoming.headers:
            return _refusal(400, "InvalidArgument: Authorization must not be sent to a signed URL")
        if complaint := self.signer.complaint(path, query):
            return _refusal(403, complaint)
        snapshot = self._snapshot(route)
        entry = snapshot.entries.get(route.file or "") if snapshot else None
        if snapshot is None or entry is None:
            return _refusal(404, "NoSuchKey: no such object")
        etag = hashlib.md5(entry.etag.encode(), usedforsecurity=False).hexdigest()
        return file_answer(snapshot.folder / entry.path, entry.size, incoming, {"ETag": f'"{etag}"'})

    def _snapshot(self, route: Route) -> Snapshot | None:
        repo = self.store.repository(route.repo or "")
        try:
            return repo.snapshot(route.revision or "") if repo else None
        except RevisionNotFoundError:
            return None


def _refusal(status: int, message: str) -> Answer:
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8"}, message.encode())
