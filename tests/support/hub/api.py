"""Answers of the first origin, the hub's API: listings, resolve, and who may have them.

A small file comes from here directly; a file in LFS by a redirect to a signed URL of the second origin. The real hub
serves small files by one more redirect within its own origin, and its Xet storage by a protocol of its own: neither is
emulated.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from .access import bad_token, bearer, refusal, repo_not_found
from .cdn import Signer
from .listing import model_json, tree_json
from .messages import Answer, Incoming, error_answer, file_answer, json_answer
from .routes import Route, blob_path, read_query
from .store import Repository, RevisionNotFoundError, Snapshot, Store


@dataclass(frozen=True, slots=True)
class Api:
    """Answers one request at a time from the store; keeps no state of its own."""

    store: Store
    signer: Signer
    page_size: int
    endpoint: Callable[[], str]
    cdn: Callable[[], str]

    def answer(self, incoming: Incoming, route: Route, path: str, query: str) -> Answer:
        token = bearer(incoming.headers)
        if refused := bad_token(token, self.store.tokens() if token else frozenset()):
            return refused
        if route.repo is None:
            return error_answer(404, "Not found")
        repo = self.store.repository(route.repo)
        if repo is None:
            return repo_not_found(token)
        if refused := refusal(repo, token, reads_files=route.kind == "resolve"):
            return refused
        try:
            snapshot = repo.snapshot(route.revision or "main")
        except RevisionNotFoundError:
            return error_answer(404, f"Invalid rev id: {route.revision or 'main'}", "RevisionNotFound")
        asked = read_query(query)
        if route.kind == "model_info":
            return json_answer(model_json(repo, snapshot, blobs=_true(asked.get("blobs"))))
        if route.kind == "tree":
            return self._tree(snapshot, path, asked)
        return self._resolve(repo, snapshot, incoming, route.file or "")

    def _tree(self, snapshot: Snapshot, path: str, query: dict[str, str]) -> Answer:
        if not _true(query.get("recursive")) or _true(query.get("expand")):
            return error_answer(400, "this hub lists whole trees only, without their last commits")
        entries = tree_json(snapshot)
        try:
            start = _read_cursor(query["cursor"]) if "cursor" in query else 0
        except ValueError:
            return error_answer(400, "Invalid cursor")
        end, headers = start + self.page_size, {}
        if end < len(entries):
            following = urlencode({**query, "cursor": write_cursor(end)})
            headers["Link"] = f'<{self.endpoint()}{path}?{following}>; rel="next"'
        return json_answer(entries[start:end], headers=headers)

    def _resolve(self, repo: Repository, snapshot: Snapshot, incoming: Incoming, file: str) -> Answer:
        headers = {"X-Repo-Commit": snapshot.commit}
        entry = snapshot.entries.get(file)
        if entry is None:
            return error_answer(404, f"Entry not found: {file}", "EntryNotFound", headers)
        if entry.sha256 is None:
            disposition = f"inline; filename*=UTF-8''{quote(file.rpartition('/')[2])}"
            headers |= {"ETag": f'"{entry.blob_id}"', "Content-Disposition": disposition}
            return file_answer(snapshot.folder / file, entry.size, incoming, headers)
        location = self.cdn() + self.signer.sign(blob_path(repo.name, snapshot.commit, file))
        linked = {"X-Linked-Size": str(entry.size), "X-Linked-Etag": f'"{entry.sha256}"', "Location": location}
        return Answer(302, {**headers, **linked, "Accept-Ranges": "bytes"}, b"Found. Redirecting.")


def _true(value: str | None) -> bool:
    return (value or "").lower() in ("true", "1")


def write_cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        kind, _, start = base64.urlsafe_b64decode(cursor).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as e:
        raise ValueError(cursor) from e
    if kind != "from":
        raise ValueError(cursor)
    return int(start)
