"""The pages for people, / and /docs, and what they load: the files of the folder `static`, read once.

They use nothing from elsewhere. The policy forbids scripts and styles that are not files of this server; pictures,
voices and videos may also be those that the page itself holds (blob:).
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

MEDIA_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
NAMES = {"index.html": "/", "docs.html": "/docs"}
"""Files with an address of their own; the others are below /static."""
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def add_pages(router: APIRouter) -> None:
    for file in files("inference.server").joinpath("static").iterdir():
        address = NAMES.get(file.name, f"/static/{file.name}")
        page = _Page(file.read_bytes(), MEDIA_TYPES[file.name.rpartition(".")[2]])
        router.add_api_route(address, page, include_in_schema=False)


class _Page:
    """A handler that serves one file."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._media_type = media_type

    async def __call__(self) -> Response:
        return Response(self._content, media_type=self._media_type, headers=HEADERS)
