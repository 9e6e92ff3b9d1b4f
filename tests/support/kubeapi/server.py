"""HTTP: from a request to the storage and back. See the package for what is not emulated."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from support.kubeapi import discovery, patches, tables, watches
from support.kubeapi.calls import Call, read_call
from support.kubeapi.errors import ApiError, no_such_path, not_found
from support.kubeapi.kinds import Kind
from support.kubeapi.storage import Storage

Json = dict[str, Any]
APPLY = "application/apply-patch+yaml"
"""Server-side apply, by a manager that owns all of the object; the operator of 0.1.0 writes its ConfigMaps so."""
PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": patches.json_patch,
    "application/merge-patch+json": patches.merge,
    APPLY: lambda _, body: body,
}


LogSource = Callable[[Json, str], bytes | None]
"""What a container of a pod has written; None when it has not run."""


class Server:
    """One API server. ``logs`` stands in for the kubelets."""

    def __init__(self, logs: LogSource) -> None:
        self._logs = logs
        self.storage = Storage()

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
            return web.json_response(known)
        call = read_call(request.method, request.path, request.query)
        if call is None:
            raise no_such_path()
        if (call.resource, call.verb) == ("pods/log", "get"):
            return self._log(call, request.query.get("container"))
        kind = self._kind(call)
        if call.verb == "watch":
            return await watches.serve(self.storage, request, kind, call.namespace, call.name)
        return await self._carry_out(request, kind, call)

    def _log(self, call: Call, container: str | None) -> web.Response:
        """All that there is up to now."""
        pod = self.storage.find(self.storage.kinds["", "pods"], call.namespace, call.name)
        name = container or pod["spec"]["containers"][0]["name"]
        text = self._logs(pod, name)
        if text is None:
            raise ApiError(400, "BadRequest", f'container "{name}" in pod "{call.name}" has not run')
        return web.Response(body=text, content_type="text/plain")

    def _about_the_server(self, parts: list[str]) -> Json | None:
        kinds = self.storage.kinds.values()
        match parts:
            case ["version"]:
                return discovery.VERSION
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return discovery.api_groups(kinds)
            case ["api", version]:
                return discovery.resources(kinds, version)
            case ["apis", group, version]:
                return discovery.resources(kinds, f"{group}/{version}")
        return None

    def _kind(self, call: Call) -> Kind:
        kind = self.storage.kinds.get((call.group, call.plural))
        if kind is None or call.sub not in ("", "status", *(("binding",) if kind.plural == "pods" else ())):
            raise no_such_path()
        return kind

    async def _carry_out(self, request: web.Request, kind: Kind, call: Call) -> web.StreamResponse:
        if request.method == "GET":
            return self._read(request, kind, call)
        if request.method == "DELETE":
            return await self._delete(request, kind, call)
        query = dict(request.query)
        body = await _body(request)
        status, warning = 200, ""
        if request.method in ("POST", "PUT"):
            _check_type(kind, body)
        if call.sub == "binding":
            return self._bind(kind, call, body, query)
        if request.method == "POST":
            found, warning = self.storage.create(kind, call.namespace, body, query)
            status = 201
        elif request.method == "PUT":
            found, warning = self._update(kind, call, lambda _old: body, query)
        else:
            found, warning = self._patch(kind, call, body, request.content_type, query)
        headers = {"Warning": warning} if warning else {}
        return web.json_response(found, status=status, headers=headers)

    def _bind(self, kind: Kind, call: Call, body: Json, query: dict[str, str]) -> web.Response:
        """What a scheduler posts: the pod belongs to a node from now on."""

        def bind(pod: Json) -> Json:
            spec = pod.get("spec") or {}
            if spec.get("schedulingGates"):
                raise ApiError(409, "Conflict", f"pod {call.name} has non-empty .spec.schedulingGates")
            if spec.get("nodeName"):
                raise ApiError(409, "Conflict", f"pod {call.name} is already assigned to node {spec['nodeName']}")
            return {**pod, "spec": {**spec, "nodeName": body["target"]["name"]}}

        self.storage.update(kind, call.namespace, call.name, "", bind, query)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"}, status=201)

    def _update(self, kind: Kind, call: Call, change: Any, query: dict[str, str]) -> tuple[Json, str]:
        return self.storage.update(kind, call.namespace, call.name, call.sub, change, query)

    def _patch(self, kind: Kind, call: Call, body: Any, how: str, query: dict[str, str]) -> tuple[Json, str]:
        if how == APPLY and not self.storage.matching(kind, call.namespace, call.name, {}):
            return self.storage.create(kind, call.namespace, body, query)
        if how not in PATCHES:
            raise ApiError(415, "UnsupportedMediaType", f"{how}: only {', '.join(PATCHES)} are known")
        return self._update(kind, call, lambda old: PATCHES[how](old, body), query)

    def _read(self, request: web.Request, kind: Kind, call: Call) -> web.StreamResponse:
        storage, version = self.storage, str(self.storage.version)
        objects = storage.matching(kind, call.namespace, call.name, dict(request.query))
        if call.name and not objects:
            raise not_found(kind.resource, call.name)
        if "as=Table" in request.headers.get("Accept", ""):
            return web.json_response(tables.table(kind, objects, version))
        if call.name:
            return web.json_response(objects[0])
        start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0)
        page = objects[start : start + limit] if limit else objects
        metadata = {"resourceVersion": version}
        if limit and start + limit < len(objects):
            metadata["continue"] = str(start + limit)
        return web.json_response(
            {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": page}
        )

    async def _delete(self, request: web.Request, kind: Kind, call: Call) -> web.StreamResponse:
        storage = self.storage
        options = {**await _body(request), **request.query}
        grace = int(options["gracePeriodSeconds"]) if options.get("gracePeriodSeconds") is not None else None
        if call.name:
            return web.json_response(storage.delete(kind, call.namespace, call.name, grace))
        for each in storage.matching(kind, call.namespace, "", dict(request.query)):
            storage.delete(kind, call.namespace, each["metadata"]["name"], grace)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})


def _check_type(kind: Kind, body: Any) -> None:
    """Built-in kinds may go without apiVersion and kind, custom resources may not."""
    if not isinstance(body, dict) or not isinstance(body.get("metadata") or {}, dict):
        raise ApiError(400, "BadRequest", "the object provided is unrecognized")
    if kind.schema and (body.get("apiVersion"), body.get("kind")) != (kind.api_version, kind.kind):
        raise ApiError(400, "BadRequest", f"the object must be of apiVersion {kind.api_version} and kind {kind.kind}")


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise ApiError(400, "BadRequest", f"the object provided is unrecognized: {error}") from error
