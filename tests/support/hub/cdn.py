"""Answers of the second origin: bytes of large files by signed URL.

As on the real CDN the ETag is not the sha256 that the API names in X-Linked-Etag, so If-Range needs the ETag of an
earlier answer from here. A request that carries Authorization is answered 400: a client must not send its token to
this origin.
"""

from __future__ import annotations

import hashlib

from .answers import Answer, Conditions, file_answer
from .routes import Route, read_query
from .signing import Signer
from .store import Entry, RevisionNotFoundError, Store
from .wire import Incoming


class Cdn:
    """Checks signatures and serves slices of files."""

    def __init__(self, store: Store, signer: Signer) -> None:
        self._store = store
        self._signer = signer

    def answer(self, incoming: Incoming, route: Route, path: str, query: str) -> Answer:
        if "authorization" in incoming.headers:
            return _refusal(400, "InvalidArgument: Authorization must not be sent to a signed URL")
        if route.name != "blob":
            return _refusal(404, "NoSuchKey: no such object")
        if complaint := self._signer.complaint(path, read_query(query)):
            return _refusal(403, complaint)
        entry = self._find(route)
        if entry is None:
            return _refusal(404, "NoSuchKey: no such object")
        conditions = Conditions(incoming.headers.get("range"), incoming.headers.get("if-range"))
        return file_answer(entry.location, entry.size, conditions, {"ETag": cdn_etag(entry)})

    def _find(self, route: Route) -> Entry | None:
        repo = self._store.repository(route.repo or "")
        try:
            return repo.snapshot(route.revision or "").entries.get(route.file or "") if repo else None
        except RevisionNotFoundError:
            return None


def cdn_etag(entry: Entry) -> str:
    return '"' + hashlib.md5(entry.etag.encode(), usedforsecurity=False).hexdigest() + '"'


def _refusal(status: int, message: str) -> Answer:
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8"}, message.encode())
