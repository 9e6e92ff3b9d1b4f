"""Requests as RBAC sees them: which verb on which resource."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

METHODS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
OF_NAMESPACES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Call:
    """One request for objects."""

    verb: str
    group: str
    resource: str
    """With the subresource, such as ``modelcaches/status``."""
    namespace: str
    name: str
    at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def plural(self) -> str:
        return self.resource.partition("/")[0]

    @property
    def sub(self) -> str:
        return self.resource.partition("/")[2]


def read_call(method: str, path: str, query: Mapping[str, str]) -> Call | None:
    """None for what is not about objects: discovery, versions, probes."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, rest = "", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, rest = parts[1], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    name, sub = (*rest[1:3], "", "")[:2]
    return Call(_verb(method, name, query), group, "/".join(part for part in (rest[0], sub) if part), namespace, name)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method == "GET" and query.get("watch") in ("true", "1"):
        return "watch"
    if method == "GET":
        return "get" if name else "list"
    return "deletecollection" if method == "DELETE" and not name else METHODS[method]
