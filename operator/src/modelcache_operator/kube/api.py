"""The API calls that the operator makes, on plain JSON, with errors by reaction.

The ``kubernetes`` client's aio part does authentication, TLS and connections; its models are left out, because parsing
five thousand pods into them takes a hundred times as long as parsing their JSON. Every call has a time limit.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio import client

from modelcache_operator.core import names
from modelcache_operator.kube.clock import ServerClock
from modelcache_operator.kube.errors import MAX_BODY, ApiError, Conflict, Missing, Refused, Unavailable

Json = dict[str, Any]

TIMEOUT_S = 20.0
PAGE = 500
"""Objects in one answer to a list: 500 pods are about 3 MB."""

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as it stands in a URL."""

    prefix: str
    plural: str

    def path(self, namespace: str | None, name: str = "", sub: str = "") -> str:
        parts = [self.prefix, *(("namespaces", namespace) if namespace else ()), self.plural, name, sub]
        return "/".join(part for part in parts if part)


CACHES = Resource(f"/apis/{names.API_VERSION}", names.PLURAL)
PODS = Resource("/api/v1", "pods")
NODES = Resource("/api/v1", "nodes")
CLAIMS = Resource("/api/v1", "persistentvolumeclaims")
SERVICES = Resource("/api/v1", "services")
ENDPOINT_SLICES = Resource("/apis/discovery.k8s.io/v1", "endpointslices")
CONFIG_MAPS = Resource("/api/v1", "configmaps")
EVENTS = Resource("/api/v1", "events")
JOBS = Resource("/apis/batch/v1", "jobs")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")


class Api:
    """One connection pool to one API server."""

    def __init__(self, configuration: client.Configuration) -> None:
        self._client = client.ApiClient(configuration)
        self._client.user_agent = names.MANAGER
        self.clock = ServerClock()
        self.calls = 0
        """Calls made so far, for the metrics."""

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        return await self._call("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """By a list, for what there is no right to ``get``; None when it is not there."""
        found = await self._call("GET", resource.path(namespace), {"fieldSelector": f"metadata.name={name}"})
        return next(iter(found["items"]), None)

    async def pages(self, resource: Resource, namespace: str | None, labels: str = "") -> AsyncIterator[Json]:
        """A list in pages, each as the API sends it: ``metadata`` and ``items``."""
        query = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._call("GET", resource.path(namespace), query)
            yield page
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more

    async def create(self, resource: Resource, body: Json) -> Json:
        """Raises Conflict when there is such an object already."""
        return await self._call("POST", resource.path(body["metadata"]["namespace"]), {}, body)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Any, *, sub: str = "", kind: str = MERGE
    ) -> Json:
        return await self._call("PATCH", resource.path(namespace, name, sub), {}, body, kind)

    async def replace(self, resource: Resource, body: Json) -> Json:
        """Raises Conflict when the object is no longer the version in ``body``."""
        return await self._call("PUT", resource.path(body["metadata"]["namespace"], body["metadata"]["name"]), {}, body)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        """With what it owns, in the background. Raises Conflict when it has another uid by now, if one is given."""
        body = {"preconditions": {"uid": uid}} if uid else None
        await self._call("DELETE", resource.path(namespace, name), {"propagationPolicy": "Background"}, body)

    async def _call(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None, kind: str = ""
    ) -> Json:
        headers = {"Accept": "application/json", "Content-Type": kind or "application/json"}
        method, url, sent, data, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        self.calls += 1
        try:
            answer = await self._client.call_api(method, url, sent, data, _request_timeout=TIMEOUT_S)
            text = await answer.read()  # type: ignore[no-untyped-call]
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        self.clock.observe(answer.headers.get("Date"))
        if answer.status < 300:
            return _parsed(text, f"{method} {path}")
        raise _error(answer.status, f"{method} {path}", text, answer.headers.get("Retry-After"), _named(path, body))


def _parsed(text: bytes, what: str) -> Json:
    try:
        found = json.loads(text)
    except ValueError as error:  # a proxy that answers 200 with a page of its own
        raise Unavailable(f"{what}: the answer is not JSON") from error
    if not isinstance(found, dict):
        raise Unavailable(f"{what}: the answer is not an object")
    return found


def _named(path: str, body: Any) -> str:
    """The object of a call, as people name it."""
    if isinstance(body, dict) and "kind" in body:
        return f"{body['kind']} {body['metadata']['name']}"
    return "/".join(path.split("/")[-2:])


def _error(status: int, what: str, text: bytes, retry_after: str | None, named: str) -> ApiError:
    said = _message(text)
    message = f"{what}: {status} {said}"
    if status == 404:
        return Missing(message)
    if status == 409 or (status == 422 and "testing" in said and "failed" in said):
        return Conflict(message)
    if status in (400, 403, 413, 415, 422):
        return Refused(said, named)
    after = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
    return Unavailable(message, min(after, 60.0))


def _message(text: bytes) -> str:
    try:
        said = json.loads(text).get("message") or ""
    except (ValueError, AttributeError):
        said = text.decode(errors="replace")
    return " ".join(str(said).split())[:MAX_BODY]
