"""Which address asks for what: those of the hub's API that clients use to download, and three of our own.

    GET  /api/models/R[/revision/V]                  what the repository is, and the names of its files
    GET  /api/models/R/tree/V[/DIRECTORY]            its listing, in pages
    POST /api/models/R/paths-info/V                  entries of the listing
    GET  /R/resolve/V/PATH                           a file
    GET  /healthz, /readyz, /metrics

No address ever becomes a path on the volume: it is looked up in a listing, and the listing's content in receipts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qs, unquote

from init_sync.serve.request import BadRequest

DEFAULT_VERSION = "main"
REPO = r"/(?P<repo>[^/]+(?:/[^/]+)?)"
VERSION = r"/(?P<version>refs/(?:pr|convert)/[^/]+|[^/]+)"
API = re.compile(rf"/api/models{REPO}(?:/(?P<what>revision|tree|paths-info){VERSION}(?:/(?P<path>.*))?)?")
FILE = re.compile(rf"{REPO}/(?P<what>resolve){VERSION}/(?P<path>.+)")
MAX_QUERY_FIELDS = 32


class Kind(Enum):
    """What is asked for; the value is the label in metrics."""

    DESCRIPTION = "description"
    TREE = "tree"
    PATHS = "paths"
    FILE = "file"
    HEALTH = "health"
    READINESS = "readiness"
    METRICS = "metrics"
    OTHER = "other"


OWN = {"/healthz": Kind.HEALTH, "/readyz": Kind.READINESS, "/metrics": Kind.METRICS}
HUBS = {"revision": Kind.DESCRIPTION, "tree": Kind.TREE, "paths-info": Kind.PATHS, "resolve": Kind.FILE}


@dataclass(frozen=True, slots=True)
class Route:
    """Names are decoded; ``address`` is the path as it was sent."""

    kind: Kind
    address: str
    repo: str = ""
    version: str = ""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)

    def asks(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1")


def find_route(target: str) -> Route:
    """Raises BadRequest for what cannot be decoded."""
    address, _, query = target.partition("?")
    if address in OWN:
        return Route(OWN[address], address)
    match = API.fullmatch(address) or FILE.fullmatch(address)
    if not match:
        return Route(Kind.OTHER, address)
    kind = HUBS[match["what"] or "revision"]
    repo, version, path = (_decoded(text or "") for text in (match["repo"], match["version"], match["path"]))
    if kind in (Kind.DESCRIPTION, Kind.PATHS) and path:
        return Route(Kind.OTHER, address)
    return Route(kind, address, repo, version or DEFAULT_VERSION, path.rstrip("/"), _fields(query))


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest(400, "an address that is not UTF-8") from error


def _fields(query: str) -> dict[str, str]:
    try:
        return {name: values[-1] for name, values in parse_qs(query, max_num_fields=MAX_QUERY_FIELDS).items()}
    except ValueError as error:
        raise BadRequest(400, f"more than {MAX_QUERY_FIELDS} query fields") from error
