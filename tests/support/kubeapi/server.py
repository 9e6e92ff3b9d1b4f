"""HTTP: from a request to the storage and back. See the package for what is not emulated."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from support.kubeapi import patches, protobuf, rendering
from support.kubeapi.calls import Call, read_call
from support.kubeapi.errors import ApiError, no_such_path
from support.kubeapi.kinds import Kind
from support.kubeapi.storage import Storage
from support.kubeapi.watches import Watches

Json = dict[str, Any]
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names."""

    kind: Kind
    namespace: str
    name: str
    sub: str


LogSource = Callable[[Json, str, bool], bytes | None]
"""What a container of a pod wrote, in its present run or in the one before; None when there is no such run."""


class Server:
    """One API server. ``logs`` stands in for the kubelets."""

    def __init__(self, logs: LogSource) -> None:
        self._logs = logs
        self.storage = Storage()
        self.watches = Watches(self.storage)
        self._applied: dict[tuple[Any, ...], Json] = {}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{tail:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ApiError as error:
            return web.json_response(error.status(), status=error.code)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        if (known := self._about_the_server(parts)) is not None:
            return known
        group, version, rest = _split(parts)
        if not rest:
            return web.json_response(rendering.Discovery(self.storage.kinds.values()).resources(group, version))
        call = read_call(request.method, request.path, request.query)
        if call is None:
            raise no_such_path()
        if (call.resource, call.verb) == ("pods/log", "get"):
            return self._log(call, request.query)
        target = self._target(call)
        if call.verb == "watch":
            return await self.watches.serve(request, target.kind, target.namespace, target.name)
        return await self._carry_out(request, target)

    def _log(self, call: Call, query: Mapping[str, str]) -> web.Response:
        """All that there is up to now; nobody can follow it."""
        pod = self.storage.find(self.storage.kinds["", "pods"], call.namespace, call.name)
        container = query.get("container") or pod["spec"]["containers"][0]["name"]
        text = self._logs(pod, container, query.get("previous") == "true")
        if text is None:
            message = f'container "{container}" in pod "{call.name}" has no such run'
            raise ApiError(400, "BadRequest", message)
        lines = text.splitlines(keepends=True)
        tail = int(query.get("tailLines") or len(lines))
        return web.Response(body=b"".join(lines[len(lines) - min(tail, len(lines)) :]), content_type="text/plain")

    def _about_the_server(self, parts: list[str]) -> web.Response | None:
        match parts:
            case ["healthz" | "readyz" | "livez"]:
                return web.Response(text="ok")
            case ["version"]:
                return web.json_response(rendering.VERSION)
            case ["api"]:
                return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        discovery = rendering.Discovery(self.storage.kinds.values())
        match parts:
            case ["apis"]:
                return web.json_response(discovery.api_groups())
            case ["openapi", "v3"]:
                return web.json_response(discovery.openapi_paths())
            case ["openapi", "v3", "api", version]:
                return web.json_response(discovery.openapi("", version))
            case ["openapi", "v3", "apis", group, version]:
                return web.json_response(discovery.openapi(group, version))
        return None

    def _target(self, call: Call) -> Target:
        plural, _, sub = call.resource.partition("/")
        kind = self.storage.kinds.get((call.group, plural))
        if kind is None or sub not in ("", "status", *(("binding",) if kind.plural == "pods" else ())):
            raise no_such_path()
        return Target(kind, call.namespace, call.name, sub)

    async def _carry_out(self, request: web.Request, target: Target) -> web.StreamResponse:
        if request.method == "GET":
            return self._read(request, target)
        if request.method == "DELETE":
            return await self._delete(request, target)
        query = dict(request.query)
        body = await _body(request)
        status, warning = 200, ""
        if request.method in ("POST", "PUT"):
            _check_type(target, body)
        if target.sub == "binding":
            return self._bind(target, body, query)
        if request.method == "POST":
            found, warning = self.storage.create(target.kind, target.namespace, body, query)
            status = 201
        elif request.method == "PUT":
            found, warning = self._update(target, lambda _old: body, query)
        else:
            status, found, warning = self._patch(target, body, request.content_type, query)
        headers = {"Warning": warning} if warning else {}
        return web.json_response(self._shown(request, target.kind, found), status=status, headers=headers)

    def _bind(self, target: Target, body: Json, query: dict[str, str]) -> web.Response:
        """What a scheduler posts: the pod belongs to a node from now on."""

        def bind(pod: Json) -> Json:
            spec = pod.get("spec") or {}
            if spec.get("schedulingGates"):
                raise ApiError(409, "Conflict", f"pod {target.name} has non-empty .spec.schedulingGates")
            if spec.get("nodeName"):
                raise ApiError(409, "Conflict", f"pod {target.name} is already assigned to node {spec['nodeName']}")
            return {**pod, "spec": {**spec, "nodeName": body["target"]["name"]}}

        self.storage.update(target.kind, target.namespace, target.name, "", bind, query)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"}, status=201)

    def _update(self, target: Target, change: Any, query: dict[str, str]) -> tuple[Json, str]:
        return self.storage.update(target.kind, target.namespace, target.name, target.sub, change, query)

    def _patch(self, target: Target, body: Any, kind: str, query: dict[str, str]) -> tuple[int, Json, str]:
        if kind == APPLY:
            return self._apply(target, body, query)
        changes = {
            "application/json-patch+json": patches.json_patch,
            "application/merge-patch+json": patches.merge,
            "application/strategic-merge-patch+json": patches.strategic,
        }
        change = changes[kind]
        return 200, *self._update(target, lambda old: change(old, body), query)

    def _apply(self, target: Target, body: Json, query: dict[str, str]) -> tuple[int, Json, str]:
        key = (target.kind.key, target.namespace, target.name, query.get("fieldManager"), target.sub)
        before = self._applied.get(key, {})
        if not query.get("dryRun"):
            self._applied[key] = copy.deepcopy(body)
        if (target.namespace, target.name) not in self.storage.objects.get(target.kind.key, {}):
            return 201, *self.storage.create(target.kind, target.namespace, body, query)
        gone = patches.dropped(before, body)
        return 200, *self._update(target, lambda old: patches.strategic(patches.merge(old, gone), body), query)

    def _read(self, request: web.Request, target: Target) -> web.StreamResponse:
        storage, kind = self.storage, target.kind
        if target.name:
            return web.json_response(self._shown(request, kind, storage.find(kind, target.namespace, target.name)))
        objects = storage.matching(kind, target.namespace, "", dict(request.query))
        start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0)
        page = objects[start : start + limit] if limit else objects
        version = str(storage.version)
        if "as=Table" in request.headers.get("Accept", ""):
            return web.json_response(rendering.table(kind, objects, version))
        metadata = {"resourceVersion": version}
        if limit and start + limit < len(objects):
            metadata["continue"] = str(start + limit)
        return web.json_response(
            {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": page}
        )

    async def _delete(self, request: web.Request, target: Target) -> web.StreamResponse:
        storage = self.storage
        body = await _body(request) if "json" in request.content_type else {}
        options = {**(body if isinstance(body, dict) else {}), **request.query}
        orphan = options.get("propagationPolicy") == "Orphan"
        grace = int(options["gracePeriodSeconds"]) if options.get("gracePeriodSeconds") is not None else None
        if target.name:
            return web.json_response(storage.delete(target.kind, target.namespace, target.name, orphan, grace))
        for each in storage.matching(target.kind, target.namespace, "", dict(request.query)):
            storage.delete(target.kind, target.namespace, each["metadata"]["name"], orphan, grace)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _shown(self, request: web.Request, kind: Kind, value: Json) -> Json:
        if "as=Table" in request.headers.get("Accept", ""):
            return rendering.table(kind, [value], value["metadata"]["resourceVersion"])
        return value


def _split(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[:1] == ["api"] and len(parts) >= 2:
        return "", parts[1], parts[2:]
    if parts[:1] == ["apis"] and len(parts) >= 3:
        return parts[1], parts[2], parts[3:]
    raise no_such_path()


def _check_type(target: Target, body: Any) -> None:
    """Built-in kinds may go without apiVersion and kind, custom resources may not."""
    kind = target.kind
    if not isinstance(body, dict) or not isinstance(body.get("metadata") or {}, dict):
        raise ApiError(400, "BadRequest", "the object provided is unrecognized")
    if kind.schema and (body.get("apiVersion"), body.get("kind")) != (kind.api_version, kind.kind):
        raise ApiError(400, "BadRequest", f"the object must be of apiVersion {kind.api_version} and kind {kind.kind}")


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if raw.startswith(protobuf.MAGIC) and "protobuf" in request.content_type:
        return protobuf.read_object(raw)
    try:
        return json.loads(raw or b"{}") if "json" in request.content_type else yaml.safe_load(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise ApiError(400, "BadRequest", f"the object provided is unrecognized: {error}") from error
