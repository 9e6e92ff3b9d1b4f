"""What the runner knows of the API: a copy of every object of some kinds, kept by watches and by its own writes.

A write's answer goes into the copy at once, so that the next decision sees it; a watch that tells of an earlier version
afterwards is not believed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import aiohttp

from support.kubeapi.async_client import AsyncClient
from support.kubeapi.errors import ApiError

Json = dict[str, Any]
Key = tuple[str, str]
RESOURCES = ("pods", "jobs", "deployments", "persistentvolumeclaims", "configmaps", "secrets", "services")
RETRY_S = 0.2


def key_of(value: Json) -> Key:
    return value["metadata"].get("namespace", ""), value["metadata"]["name"]


def controller_uid(value: Json) -> str:
    owners = value["metadata"].get("ownerReferences", ())
    return next((each["uid"] for each in owners if each.get("controller")), "")


class View:
    """``objects[resource][namespace, name]``; ``changed`` is set with every change."""

    def __init__(self, client: AsyncClient, namespace: str) -> None:
        self.client = client
        self._namespace = namespace
        self.changed = asyncio.Event()
        self.objects: dict[str, dict[Key, Json]] = {resource: {} for resource in RESOURCES}
        self._newest: dict[str, int] = {}

    def all(self, resource: str) -> list[Json]:
        return list(self.objects[resource].values())

    def find(self, resource: str, namespace: str, name: str) -> Json | None:
        return self.objects[resource].get((namespace, name))

    def owned_by(self, owner: Json) -> list[Json]:
        """Pods of a Job or a Deployment, oldest first."""
        uid = owner["metadata"]["uid"]
        found = [pod for pod in self.all("pods") if controller_uid(pod) == uid]
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    async def follow(self, resource: str) -> None:
        """Until it is cancelled, whatever happens to the API."""
        while True:
            with contextlib.suppress(ApiError, aiohttp.ClientError, OSError):
                version = await self._list(resource)
                async for event in self.client.watch(resource, self._namespace, version):
                    self._take(resource, event["object"], gone=event["type"] == "DELETED")
            await asyncio.sleep(RETRY_S)

    async def _list(self, resource: str) -> str:
        found, version = await self.client.list(resource, self._namespace)
        names = {each["metadata"]["uid"] for each in found}
        for old in self.all(resource):
            if old["metadata"]["uid"] not in names:
                del self.objects[resource][key_of(old)]
                self._newest.pop(old["metadata"]["uid"])  # made while the list was on its way: the watch tells
        for each in found:
            self._take(resource, each)
        self.changed.set()
        return version

    def _take(self, resource: str, value: Json, gone: bool = False) -> None:
        uid, version = value["metadata"]["uid"], int(value["metadata"]["resourceVersion"])
        if version <= self._newest.get(uid, 0) and not gone:
            return
        self._newest[uid] = version
        if gone:
            if (self.objects[resource].get(key_of(value)) or value)["metadata"]["uid"] == uid:
                self.objects[resource].pop(key_of(value), None)
        else:
            self.objects[resource][key_of(value)] = value
        self.changed.set()

    async def create(self, resource: str, body: Json, namespace: str) -> None:
        self._take(resource, await self.client.create(resource, body, namespace))

    async def patch(self, resource: str, value: Json, body: Json, sub: str = "") -> None:
        """Nothing happens if the object is gone; one that took its name is refused by its uid."""
        namespace, name = key_of(value)
        known = {**body, "metadata": {"uid": value["metadata"]["uid"]}}
        with absent_is_fine():
            self._take(resource, await self.client.patch(resource, name, known, namespace, sub))

    async def delete(self, resource: str, value: Json, grace_s: int | None = None) -> None:
        namespace, name = key_of(value)
        with absent_is_fine():
            await self.client.delete(resource, name, namespace, value["metadata"]["uid"], grace_s)
        if grace_s == 0:
            self._take(resource, value, gone=True)
        else:
            value["metadata"].setdefault("deletionTimestamp", "now")  # until the watch tells


@contextlib.contextmanager
def absent_is_fine() -> Iterator[None]:
    """Somebody else deleted it."""
    try:
        yield
    except ApiError as error:
        if error.code != 404:
            raise
