"""Which question a request asks: the raw path sorted into one of a few kinds.

Paths are matched as they arrive, still quoted, because a slash inside a revision is ``%2F`` (``refs%2Fpr%2F1``) and
only that tells it from the file path behind it. The plain spelling ``refs/pr/1`` is understood as well, as on the
hub. Model repositories only: no datasets, no spaces, no names without an owner.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

KINDS = ("model_info", "tree", "resolve", "blob", "other")

_REPO = r"(?P<repo>[^/]+/[^/]+)"
_REV = r"(?P<revision>refs/(?:pr|heads|tags|convert)/[^/]+|[^/]+)"
_API_ROUTES = (
    ("model_info", re.compile(rf"/api/models/{_REPO}(?:/revision/{_REV})?")),
    ("tree", re.compile(rf"/api/models/{_REPO}/tree/{_REV}")),
    ("resolve", re.compile(rf"/{_REPO}/resolve/{_REV}/(?P<file>.+)")),
    ("control", re.compile(r"/_control/.+")),
)
_BLOB = re.compile(rf"/blobs/{_REPO}/(?P<revision>[0-9a-f]{{40}})/(?P<file>.+)")


@dataclass(frozen=True, slots=True)
class Route:
    """A request understood; all but ``kind`` is unquoted."""

    kind: str
    repo: str | None = None
    revision: str | None = None
    file: str | None = None


def split_target(target: str) -> tuple[str, str]:
    """Split a request target into raw path and query; absolute targets (from a proxy's client) are taken as well."""
    parts = urlsplit(target if "://" in target.partition("?")[0] else f"http://host{target}")
    return parts.path, parts.query


def read_query(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}


def api_route(path: str) -> Route:
    for kind, pattern in _API_ROUTES:
        if match := pattern.fullmatch(path):
            return _route(kind, match)
    return Route("other")


def cdn_route(path: str) -> Route:
    match = _BLOB.fullmatch(path)
    return _route("blob", match) if match else Route("other")


def blob_path(repo: str, commit: str, file: str) -> str:
    return f"/blobs/{repo}/{commit}/{quote(file)}"


def _route(kind: str, match: re.Match[str]) -> Route:
    return Route(kind, **{key: unquote(value) for key, value in match.groupdict().items() if value})
