"""What kinds there are, as kubectl and the operator's client ask for it. No OpenAPI: kubectl can neither explain nor
validate, so ``kubectl apply`` needs ``--validate=false``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from support.kubeapi.errors import no_such_path
from support.kubeapi.kinds import Kind

Json = dict[str, Any]
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-in-memory", "gitCommit": "", "gitTreeState": ""}


def api_groups(kinds: Iterable[Kind]) -> Json:
    groups: dict[str, Json] = {}
    for kind in kinds:
        version = {"groupVersion": kind.api_version, "version": kind.version}
        if kind.group:
            groups[kind.group] = {"name": kind.group, "versions": [version], "preferredVersion": version}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups.values())}


def resources(kinds: Iterable[Kind], api_version: str) -> Json:
    found = [kind for kind in kinds if kind.api_version == api_version]
    if not found:
        raise no_such_path()
    listed = [*map(_resource, found), *(_status(kind) for kind in found if kind.status)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}


def _resource(kind: Kind) -> Json:
    names = {"name": kind.plural, "singularName": kind.kind.lower(), "shortNames": list(kind.short)}
    return {**names, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": VERBS}


def _status(kind: Kind) -> Json:
    names = {"name": f"{kind.plural}/status", "singularName": "", "shortNames": []}
    return {**_resource(kind), **names, "verbs": ["get", "patch", "update"]}
