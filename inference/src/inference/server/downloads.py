"""What a GET or HEAD of a finished video answers: conditions and byte ranges, by RFC 9110.

Starlette serves the ranges; it would answer 400 to those that it does not understand, which have to be ignored (14.2),
416 as soon as one of several is beyond the end, and both in plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from inference.server.errors import ApiError, as_response

_RANGE = re.compile(r"(?:(?P<first>\d{1,18})-(?P<last>\d{0,18})|-(?P<suffix>\d{1,18}))", re.ASCII)


def readable_ranges(header: str, size: int) -> list[str] | None:
    """The ranges of a Range header that a file of `size` bytes can satisfy; None if the header has to be ignored."""
    unit, equals, rest = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    kept = []
    for part in rest.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None or (found["last"] and int(found["last"]) < int(found["first"])):
            return None
        if (int(found["first"]) < size) if found["first"] else (int(found["suffix"]) and size):
            kept.append(found.group())
    return kept


def has_etag(header: str, etag: str) -> bool:
    """Whether If-None-Match names this content."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags


class Download(FileResponse):
    """A finished video. `after` runs once all of it, or what was asked for, has been sent to a GET."""

    def __init__(self, path: Path, found: os.stat_result, after: BackgroundTask) -> None:
        name = f"{path.parent.name}{path.suffix}"
        super().__init__(path, media_type="video/mp4", filename=name, stat_result=found)
        self._size = found.st_size
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if has_etag(headers.get("if-none-match", ""), self.headers["etag"]):
            kept = {name: self.headers[name] for name in ("etag", "last-modified")}
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        ranges = self._ranges(headers)
        if ranges == []:
            await as_response(_beyond_the_end(self._size))(scope, receive, send)
            return
        others = [(name, value) for name, value in scope["headers"] if name not in (b"range", b"if-range")]
        asked = [(b"range", f"bytes={','.join(ranges)}".encode())] if ranges else []
        self.background = self._after if scope["method"] == "GET" else None
        await super().__call__({**scope, "headers": others + asked}, receive, send)

    def _ranges(self, headers: Headers) -> list[str] | None:
        asked, condition = headers.get("range"), headers.get("if-range")
        if asked is None or condition not in (None, self.headers["etag"], self.headers["last-modified"]):
            return None
        return readable_ranges(asked, self._size)


def _beyond_the_end(size: int) -> ApiError:
    return ApiError(
        416,
        "range_not_satisfiable",
        f"The range begins beyond the end of the video, which has {size} bytes.",
        headers={"content-range": f"bytes */{size}"},
    )
