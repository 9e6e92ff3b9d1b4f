"""How objects are shown: tables for ``kubectl get``, discovery, and just enough OpenAPI for apply, explain and helm."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable
from typing import Any

from support.kubeapi.errors import no_such_path
from support.kubeapi.kinds import Kind, dig
from support.kubeapi.printing import PRINTERS

Json = dict[str, Any]
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-in-memory", "gitCommit": "", "gitTreeState": ""}


def table(kind: Kind, objects: list[Json], version: str) -> Json:
    columns = [{"name": "Name", "type": "string", "format": "name", "priority": 0, "description": ""}]
    columns += [{"format": "", "description": "", "priority": 0, **_public(each)} for each in _columns(kind)]
    has_age = any(each["name"] == "Age" for each in columns)
    if not has_age:
        columns.append({"name": "Age", "type": "date", "format": "", "priority": 0, "description": ""})
    rows = []
    for each in objects:
        metadata = each["metadata"]
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        rows.append({"cells": _cells(kind, each, has_age), "object": partial})
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": columns,
        "rows": rows,
    }


def _columns(kind: Kind) -> Iterable[Json]:
    printer = PRINTERS.get(kind.key)
    return [{"name": name, "type": "string"} for name in printer.columns] if printer else kind.columns


def _public(column: Json) -> Json:
    return {key: value for key, value in column.items() if key != "jsonPath"}


def _cells(kind: Kind, value: Json, has_age: bool) -> list[Any]:
    cells = [value["metadata"]["name"]]
    if printer := PRINTERS.get(kind.key):
        cells += printer.cells(value)
        return [*cells, _age(value["metadata"]["creationTimestamp"])]
    for column in kind.columns:
        found = dig(value, column["jsonPath"])
        cells.append(_age(found) if column["type"] == "date" and found else found)
    return cells if has_age else [*cells, _age(value["metadata"]["creationTimestamp"])]


def _age(stamp: str) -> str:
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(stamp)
    seconds = int(age.total_seconds())
    if seconds < 120:
        return f"{seconds}s"
    return f"{seconds // 60}m" if seconds < 7200 else f"{seconds // 3600}h"


class Discovery:
    """What kinds there are, in the form that was asked for."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.groups: dict[str, dict[str, list[Kind]]] = {}
        for kind in kinds:
            self.groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)

    def api_groups(self) -> Json:
        groups = []
        for name, versions in self.groups.items():
            found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
            if name:
                groups.append({"name": name, "versions": found, "preferredVersion": found[0]})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def resources(self, group: str, version: str) -> Json:
        kinds = self.groups.get(group, {}).get(version)
        if kinds is None:
            raise no_such_path()
        listed = [_resource(kind) for kind in kinds]
        listed += [
            {
                **_resource(kind),
                "name": f"{kind.plural}/status",
                "singularName": "",
                "shortNames": [],
                "verbs": ["get", "patch", "update"],
            }
            for kind in kinds
            if kind.status
        ]
        at = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": at, "resources": listed}

    def openapi_paths(self) -> Json:
        paths = [
            f"apis/{group}/{each}" if group else "api/v1" for group, found in self.groups.items() for each in found
        ]
        return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}

    def openapi(self, group: str, version: str) -> Json:
        document: Json = {"openapi": "3.0.0", "info": {"title": "in-memory", "version": "0"}, "paths": {}}
        schemas: Json = {}
        for kind in self.groups.get(group, {}).get(version, []):
            identity = {"group": kind.group, "version": kind.version, "kind": kind.kind}
            document["paths"][_url(kind)] = {"patch": _patch_operation(identity)}
            schema = copy.deepcopy(kind.schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
            reverse = ".".join(reversed(kind.group.split("."))) if kind.group else "io.k8s.api.core"
            schemas[f"{reverse}.{kind.version}.{kind.kind}"] = schema | {"x-kubernetes-group-version-kind": [identity]}
        return {**document, "components": {"schemas": schemas}}


def _resource(kind: Kind) -> Json:
    found = {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": VERBS,
    }
    return {**found, "shortNames": list(kind.short)} if kind.short else found


def _url(kind: Kind) -> str:
    prefix = f"/apis/{kind.group}/{kind.version}" if kind.group else "/api/v1"
    return prefix + ("/namespaces/{namespace}" if kind.namespaced else "") + f"/{kind.plural}/{{name}}"


def _patch_operation(identity: Json) -> Json:
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    parameters = [{"name": each, "in": "query", "schema": {"type": "string"}} for each in names]
    return {
        "parameters": parameters,
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": identity,
        "responses": {},
    }
