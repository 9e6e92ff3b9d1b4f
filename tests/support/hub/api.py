"""Answers of the first origin, the hub's API: listings, resolve, and who may have them.

A small file comes from here directly; a file in LFS by a redirect to a signed URL of the second origin. The real hub
serves small files by one more redirect within its own origin, and its Xet storage by a protocol of its own: neither
is emulated, so ``xet-read-token`` is not found unless ``xet_cas_url`` names a server to send clients to.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from .access import bad_token, bearer, refusal, repo_not_found, whoami
from .answers import Answer, Conditions, error_answer, file_answer, json_answer
from .listing import entries_json, model_json, refs_json, tree_json
from .routes import Route, blob_path, read_query
from .signing import Signer
from .store import Repository, RevisionNotFoundError, Snapshot, Store
from .wire import Incoming

_EXPANDED_PAGE = 50  # the hub's own page size where ?expand=True makes entries costly


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What a test may choose about the API."""

    page_size: int = 1000
    xet_cas_url: str | None = None


class Api:
    """Answers one request at a time from the store; keeps no state of its own."""

    def __init__(
        self, store: Store, signer: Signer, settings: ApiSettings, endpoint: Callable[[], str], cdn: Callable[[], str]
    ) -> None:
        self._store = store
        self._signer = signer
        self._settings = settings
        self._endpoint = endpoint
        self._cdn = cdn

    def answer(self, incoming: Incoming, route: Route, path: str, query: str) -> Answer:
        token = bearer(incoming.headers)
        refused = bad_token(token, self._store.tokens()) if token else None
        if refused or route.name in ("whoami", "other", "control"):
            return refused or (whoami(token) if route.name == "whoami" else error_answer(404, "Not found"))
        repo = self._store.repository(route.repo or "")
        if repo is None:
            return repo_not_found(token)
        refused = refusal(repo, token, reads_files=route.name == "resolve")
        return refused or self._in_repository(repo, incoming, route, path, read_query(query))

    def _in_repository(
        self, repo: Repository, incoming: Incoming, route: Route, path: str, query: dict[str, str]
    ) -> Answer:
        if route.name == "refs":
            return json_answer(refs_json(repo, pull_requests="include_prs" in query))
        try:
            snapshot = repo.snapshot(route.revision or "main")
        except RevisionNotFoundError:
            return error_answer(404, f"Invalid rev id: {route.revision or 'main'}", "RevisionNotFound")
        if route.name == "model_info":
            return json_answer(model_json(repo, snapshot, blobs=_true(query.get("blobs"))))
        if route.name == "tree":
            return self._tree(snapshot, route.file or "", path, query)
        if route.name == "paths_info":
            return _paths_info(snapshot, incoming)
        if route.name == "xet_token":
            return self._xet_token()
        return self._resolve(repo, snapshot, incoming, route.file or "")

    def _tree(self, snapshot: Snapshot, below: str, path: str, query: dict[str, str]) -> Answer:
        expand = _true(query.get("expand"))
        entries = tree_json(snapshot, below.rstrip("/"), recursive=_true(query.get("recursive")), expand=expand)
        if entries is None:
            return _entry_not_found(snapshot, below)
        size = min(self._settings.page_size, _EXPANDED_PAGE) if expand else self._settings.page_size
        try:
            start = _read_cursor(query["cursor"]) if "cursor" in query else 0
        except ValueError:
            return error_answer(400, "Invalid cursor")
        headers = {}
        if start + size < len(entries):
            following = urlencode({**query, "cursor": _write_cursor(start + size)})
            headers["Link"] = f'<{self._endpoint()}{path}?{following}>; rel="next"'
        return json_answer(entries[start : start + size], headers=headers)

    def _resolve(self, repo: Repository, snapshot: Snapshot, incoming: Incoming, file: str) -> Answer:
        entry = snapshot.entries.get(file)
        if entry is None:
            return _entry_not_found(snapshot, file)
        headers = {"X-Repo-Commit": snapshot.commit}
        if entry.sha256 is None:
            conditions = Conditions(incoming.headers.get("range"), incoming.headers.get("if-range"))
            disposition = f"inline; filename*=UTF-8''{quote(file.rpartition('/')[2])}"
            headers |= {"ETag": f'"{entry.blob_id}"', "Content-Disposition": disposition}
            return file_answer(entry.location, entry.size, conditions, headers)
        location = self._cdn() + self._signer.sign(blob_path(repo.name, snapshot.commit, file))
        linked = {"X-Linked-Size": str(entry.size), "X-Linked-Etag": f'"{entry.sha256}"', "Location": location}
        return Answer(302, {**headers, **linked, "Accept-Ranges": "bytes"}, b"Found. Redirecting.")

    def _xet_token(self) -> Answer:
        if self._settings.xet_cas_url is None:
            return error_answer(404, "Not found")
        access = {"casUrl": self._settings.xet_cas_url, "accessToken": "local", "exp": 4102444800}
        headers = {
            "X-Xet-Cas-Url": self._settings.xet_cas_url,
            "X-Xet-Access-Token": "local",
            "X-Xet-Token-Expiration": "4102444800",
        }
        return json_answer(access, headers=headers)


def _paths_info(snapshot: Snapshot, incoming: Incoming) -> Answer:
    if "json" in incoming.headers.get("content-type", ""):
        sent: dict[str, Any] = json.loads(incoming.body or b"{}")
        expand = bool(sent.get("expand"))
        paths = sent.get("paths", [])
    else:
        form = parse_qs(incoming.body.decode())
        expand = _true(form.get("expand", [""])[-1])
        paths = form.get("paths", [])
    return json_answer(list(entries_json(snapshot, paths, expand=expand)))


def _entry_not_found(snapshot: Snapshot, path: str) -> Answer:
    headers = {"X-Repo-Commit": snapshot.commit}
    return error_answer(404, f"Entry not found: {path}", "EntryNotFound", headers)


def _true(value: str | None) -> bool:
    return (value or "").lower() in ("true", "1")


def _write_cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        kind, _, start = base64.urlsafe_b64decode(cursor).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as e:
        raise ValueError(cursor) from e
    if kind != "from" or not start.isdigit():
        raise ValueError(cursor)
    return int(start)
