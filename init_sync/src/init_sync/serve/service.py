"""From a request to its answer. Nothing that is asked changes anything."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from urllib.parse import parse_qs, urlencode

from init_sync.serve import listings
from init_sync.serve.answers import Answer, error_answer, file_answer, json_answer, text_answer
from init_sync.serve.catalog import Catalog, Snapshot
from init_sync.serve.metrics import CONTENT_TYPE, Metrics
from init_sync.serve.request import BadRequest, Request
from init_sync.serve.routes import Kind, Route
from init_sync.serve.store import Store
from init_sync.serve.token import Token
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

WITHOUT_TOKEN = (Kind.HEALTH, Kind.READINESS, Kind.METRICS)
"""A kubelet has no token, and figures have no names in them."""
RETRY_AFTER = {"Retry-After": "5"}


class Service:
    """Answers from the store; shared by all connections."""

    def __init__(self, store: Store, token: Token | None, metrics: Metrics) -> None:
        self._store = store
        self._token = token
        self._metrics = metrics

    def answer(self, request: Request, route: Route, body: bytes) -> Answer:
        """The file in an answer is open, and the sender closes it. Raises BadRequest."""
        if self._token and route.kind not in WITHOUT_TOKEN and not self._admits(request):
            said = "Invalid credentials in Authorization header"  # the words by which clients know it
            return error_answer(401, said, headers={"WWW-Authenticate": 'Bearer realm="modelcache"'})
        if route.kind is Kind.OTHER:
            return error_answer(404, "Not found")
        allowed = ("POST",) if route.kind is Kind.PATHS else ("GET", "HEAD")
        if request.method not in allowed:
            return error_answer(405, f"Only {' and '.join(allowed)} here", headers={"Allow": ", ".join(allowed)})
        try:
            return self._answer(request, route, body)
        except OSError as error:
            log.warning("the volume cannot be read", extra=fields(cause=str(error)))
            return error_answer(503, "The volume cannot be read now", headers=RETRY_AFTER)

    def _admits(self, request: Request) -> bool:
        return self._token is not None and self._token.admits(request.headers.get("authorization", ""))

    def _answer(self, request: Request, route: Route, body: bytes) -> Answer:
        if route.kind is Kind.HEALTH:
            return text_answer("ok\n")
        if route.kind is Kind.METRICS:
            return Answer(200, {"Content-Type": CONTENT_TYPE}, self._metrics.text())
        catalog = self._store.catalog()
        if route.kind is Kind.READINESS:
            return text_answer("ok\n") if catalog.snapshots else text_answer("no receipt with its listing yet\n", 503)
        snapshot = catalog.snapshots.get((route.repo, route.version))
        if snapshot is None:
            return _no_snapshot(catalog, route)
        if route.kind is Kind.FILE:
            return self._file(request, route, snapshot)
        headers = {"X-Repo-Commit": snapshot.commit}
        if route.kind is Kind.TREE:
            return _tree(request, route, snapshot)
        if route.kind is Kind.PATHS:
            return json_answer(listings.entries(snapshot, _paths(request, body)), headers=headers)
        return json_answer(listings.description(snapshot, blobs=route.asks("blobs")), headers=headers)

    def _file(self, request: Request, route: Route, snapshot: Snapshot) -> Answer:
        headers = {"X-Repo-Commit": snapshot.commit}
        file = snapshot.entries.get(route.path)
        if file is None:
            return error_answer(404, f"Entry not found: {route.path}", "EntryNotFound", headers)
        content = self._store.open(file)
        if content is None:
            said = f"Entry is listed, and not held by this peer: {route.path}"
            return error_answer(404, said, "EntryNotFound", headers)
        etag = f'"{listings.digest(file)}"'
        headers |= {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        headers["X-Content-Type-Options"] = "nosniff"
        if listings.is_large(file):
            headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(file.size)}
        answer = file_answer(content, request.headers if request.method == "GET" else {}, headers)
        if answer.content is None:
            content.file.close()
        return answer


def _no_snapshot(catalog: Catalog, route: Route) -> Answer:
    if catalog.has_repo(route.repo):
        return error_answer(404, f"Invalid rev id: {route.version}", "RevisionNotFound")
    return error_answer(404, "Repository not found", "RepoNotFound")


def _tree(request: Request, route: Route, snapshot: Snapshot) -> Answer:
    headers = {"X-Repo-Commit": snapshot.commit}
    cursor = route.query.get("cursor", "0")
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 8):
        raise BadRequest(400, "Invalid cursor")
    paths = listings.below(snapshot, route.path, recursive=route.asks("recursive"))
    if route.path and not paths:
        return error_answer(404, f"Entry not found: {route.path}", "EntryNotFound", headers)
    start = int(cursor)
    end = start + listings.PAGE
    if end < len(paths):
        query = urlencode({**route.query, "cursor": end})
        scheme = "https" if request.headers.get("x-forwarded-proto") == "https" else "http"
        address = f"{scheme}://{request.headers['host']}{route.address}" if "host" in request.headers else route.address
        headers["Link"] = f'<{address}?{query}>; rel="next"'
    return json_answer(listings.entries(snapshot, paths[start:end]), headers=headers)


def _paths(request: Request, body: bytes) -> Sequence[str]:
    try:
        if "json" in request.headers.get("content-type", ""):
            paths = json.loads(body)["paths"]
        else:
            paths = parse_qs(body.decode(), max_num_fields=listings.PAGE + 8).get("paths", [])
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRequest(400, "no list of paths") from error
    return [path.strip("/") for path in paths]
