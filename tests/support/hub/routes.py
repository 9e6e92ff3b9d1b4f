"""Which question a request asks: the raw path sorted into one of a few kinds.

Paths are matched as they arrive, still quoted, because a slash inside a revision is ``%2F`` (``refs%2Fpr%2F1``) and
only that tells it from the file path behind it. The plain spelling ``refs/pr/1`` is understood as well, as on the
hub. Model repositories only: no datasets, no spaces, no names without an owner.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

KINDS = ("model_info", "tree", "paths_info", "refs", "resolve", "blob", "other")

_REPO = r"(?P<repo>[^/]+/[^/]+)"
_REV = r"(?P<revision>refs/(?:pr|heads|tags|convert)/[^/]+|[^/]+)"
_API = rf"^/api/models/{_REPO}"
_API_ROUTES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("model_info", rf"{_API}/?$"),
        ("model_info", rf"{_API}/revision/{_REV}$"),
        ("tree", rf"{_API}/tree/{_REV}(?:/(?P<file>.*))?$"),
        ("paths_info", rf"{_API}/paths-info/{_REV}$"),
        ("refs", rf"{_API}/refs$"),
        ("xet_token", rf"{_API}/xet-read-token/{_REV}$"),
        ("whoami", r"^/api/whoami-v2$"),
        ("resolve", rf"^/{_REPO}/resolve/{_REV}/(?P<file>.+)$"),
    )
)
_BLOB = re.compile(rf"^/blobs/{_REPO}/(?P<revision>[0-9a-f]{{40}})/(?P<file>.+)$")


@dataclass(frozen=True, slots=True)
class Route:
    """A request understood: ``name`` chooses the answer; the rest is unquoted."""

    name: str
    repo: str | None = None
    revision: str | None = None
    file: str | None = None

    @property
    def kind(self) -> str:
        return self.name if self.name in KINDS else "other"


def split_target(target: str) -> tuple[str, str]:
    """Split a request target into raw path and query; absolute targets (from a proxy's client) are taken as well."""
    parts = urlsplit(target if "://" in target.partition("?")[0] else f"http://host{target}")
    return parts.path, parts.query


def read_query(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}


def api_route(path: str) -> Route:
    for name, pattern in _API_ROUTES:
        if match := pattern.match(path):
            return _route(name, match)
    return Route("control" if path.startswith("/_control/") else "other")


def cdn_route(path: str) -> Route:
    match = _BLOB.match(path)
    return _route("blob", match) if match else Route("other")


def blob_path(repo: str, commit: str, file: str) -> str:
    return f"/blobs/{repo}/{commit}/{quote(file)}"


def _route(name: str, match: re.Match[str]) -> Route:
    parts = {key: unquote(value) for key, value in match.groupdict().items() if value}
    return Route(name, **parts)
