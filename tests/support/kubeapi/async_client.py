"""The client for programs that wait for many things at once: calls and watches on JSON, for asyncio."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from support.kubeapi.access import read_kubeconfig
from support.kubeapi.client import MERGE, entries, resource_path
from support.kubeapi.errors import ApiError

Json = dict[str, Any]
WATCH_S = 300
LINE_BYTES = 4 << 20
"""An object is one line of a watch; the largest that an API server stores is smaller."""


class AsyncClient:
    """Used as a context manager, in one event loop."""

    def __init__(self, kubeconfig: Path) -> None:
        self._access = read_kubeconfig(kubeconfig)
        self._url = self._access.url
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.tls or True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        login = {"Authorization": f"Bearer {self._access.token}"} if self._access.token else {}
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, read_bufsize=LINE_BYTES, headers=login
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def list(self, resource: str, namespace: str) -> tuple[list[Json], str]:
        """Every object, of all namespaces if it is empty, and the version of the whole."""
        answer = await self.call("GET", resource_path(resource, namespace))
        return entries(answer), str(answer["metadata"]["resourceVersion"])

    async def create(self, resource: str, body: Json, namespace: str) -> Json:
        return await self.call("POST", resource_path(resource, namespace), body)

    async def patch(self, resource: str, name: str, body: Json, namespace: str, sub: str = "") -> Json:
        return await self.call("PATCH", resource_path(resource, namespace, name, sub), body, MERGE)

    async def bind(self, pod: str, namespace: str, node: str) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
        await self.call("POST", resource_path("pods", namespace, pod, "binding"), body)

    async def delete(self, resource: str, name: str, namespace: str, uid: str, grace_s: int | None = None) -> None:
        """Only if it still is the object with this ``uid``."""
        body: Json = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        body |= {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        await self.call("DELETE", resource_path(resource, namespace, name), body)

    async def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Json:
        """Raises ApiError for anything but success, aiohttp.ClientError when nobody answers."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": kind, "Accept": "application/json"}
        async with self._session.request(method, self._url + path, data=data, headers=headers) as answer:
            text = await answer.text()
            found: Json = json.loads(text) if text[:1] == "{" else {"message": text}
            if answer.status >= 300:
                raise ApiError(answer.status, found.get("reason", ""), found.get("message", ""))
            return found

    async def watch(self, resource: str, namespace: str, version: str) -> AsyncIterator[Json]:
        """Every event after ``version``; ends when the server ends it, or has forgotten so early a version."""
        path = f"{resource_path(resource, namespace)}?watch=true&resourceVersion={version}&timeoutSeconds={WATCH_S}"
        async with self._session.get(self._url + path) as answer:
            async for line in answer.content:
                event: Json = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event
