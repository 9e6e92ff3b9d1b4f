"""Watches: a stream of changes from a version on, with bookmarks, time limits and 410 Gone."""

from __future__ import annotations

import asyncio
import bisect
import json
from typing import Any

from aiohttp import web

from support.kubeapi import tables
from support.kubeapi.errors import ApiError
from support.kubeapi.kinds import Kind
from support.kubeapi.storage import Change, Storage, matcher

Json = dict[str, Any]
BOOKMARK_S = 30.0
LONGEST_S = 1800.0


async def serve(storage: Storage, request: web.Request, kind: Kind, namespace: str, name: str) -> web.StreamResponse:
    stream = _Stream(storage, request, kind, namespace, name)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        await response.prepare(request)
        if stream.expired():
            await response.write(stream.line("ERROR", _gone(stream.position)))
        else:
            await _follow(storage, stream, response)
    except (ConnectionError, asyncio.CancelledError):
        pass
    return response


async def _follow(storage: Storage, stream: _Stream, response: web.StreamResponse) -> None:
    for line in stream.initial():
        await response.write(line)
    loop = asyncio.get_running_loop()
    end = loop.time() + stream.limit_s
    while (left := end - loop.time()) > 0:
        if lines := list(stream.changes()):
            await response.write(b"".join(lines))
        if not stream.served:
            return  # its definition was deleted
        try:
            async with storage.changed:
                if stream.position >= storage.version:
                    await asyncio.wait_for(storage.changed.wait(), min(left, BOOKMARK_S))
        except TimeoutError:
            if stream.bookmarks:
                await response.write(stream.line("BOOKMARK", stream.bookmark()))


class _Stream:
    """One watch."""

    def __init__(self, storage: Storage, request: web.Request, kind: Kind, namespace: str, name: str) -> None:
        query = dict(request.query)
        self._storage = storage
        self._kind = kind
        self._matches = matcher(namespace, name, query)
        self._as_table = "as=Table" in request.headers.get("Accept", "")
        since = query.get("resourceVersion")
        self._send_initial = query.get("sendInitialEvents") == "true"
        self.resumed = since not in (None, "", "0") and not self._send_initial
        self.position = int(since) if self.resumed and since else storage.version
        self.bookmarks = query.get("allowWatchBookmarks") == "true"
        self.limit_s = float(query.get("timeoutSeconds") or LONGEST_S)

    @property
    def served(self) -> bool:
        return self._kind.key in self._storage.kinds

    def expired(self) -> bool:
        history = self._storage.history
        oldest = history[0].version - 1 if history else self._storage.version
        return self.resumed and self.position < oldest

    def initial(self) -> list[bytes]:
        if self.resumed:
            return []
        objects = self._storage.objects.get(self._kind.key, {}).values()
        lines = [self.line("ADDED", each) for each in objects if self._matches(each)]
        if self._send_initial:
            lines.append(self.line("BOOKMARK", self.bookmark({"k8s.io/initial-events-end": "true"})))
        return lines

    def changes(self) -> list[bytes]:
        """What happened since the last call; an object that enters or leaves the selection is added or deleted."""
        history = self._storage.history
        start = bisect.bisect_right(history, self.position, key=lambda change: change.version)
        found = []
        for index in range(start, len(history)):
            change = history[index]
            if change.key == self._kind.key and (event := self._event(change)):
                found.append(self.line(event, change.object))
        self.position = self._storage.version
        return found

    def _event(self, change: Change) -> str:
        was = change.before is not None and self._matches(change.before)
        if change.event == "DELETED":
            return "DELETED" if was else ""
        if self._matches(change.object):
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else ""

    def bookmark(self, annotations: dict[str, str] | None = None) -> Json:
        metadata = {"resourceVersion": str(self._storage.version), "annotations": annotations or {}}
        return {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}

    def line(self, event: str, value: Json) -> bytes:
        if self._as_table and event in ("ADDED", "MODIFIED", "DELETED"):
            value = tables.table(self._kind, [value], value["metadata"]["resourceVersion"])
        return json.dumps({"type": event, "object": value}).encode() + b"\n"


def _gone(version: int) -> Json:
    return ApiError(410, "Expired", f"too old resource version: {version}").status()
