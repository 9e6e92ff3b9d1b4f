"""The objects of a peer server: Service, EndpointSlice and pod.

Service and slice are neither listed nor watched. What was written is noted in the mirror and not written again; each
full list drops the notes, so that what somebody changed or deleted is found then, for caches with a peer server alone.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from init_sync.shell.logs import fields
from modelcache_operator.core import peer_objects
from modelcache_operator.core.observed import Cache
from modelcache_operator.core.observed_pods import PeerPod
from modelcache_operator.core.parse import controller_uid
from modelcache_operator.core.peers import PeerPlan
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import Conflict, Missing, NameTaken, Refused
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror

log = logging.getLogger(__name__)
Json = dict[str, Any]


class PeerWriter:
    """Traffic first: a pod that is to be deleted gets none any more."""

    def __init__(self, api: Api, mirror: Mirror, image: str) -> None:
        self._api = api
        self._mirror = mirror
        self._image = image

    async def apply(self, cache: Cache, plan: PeerPlan) -> None:
        """Raises Conflict when the API refuses something, so that the status of a new decision says so."""
        key = Key(cache.namespace, cache.name)
        try:
            if plan.remove:
                await self._remove_service(cache)
                self._mirror.peer_endpoints.pop(key, None)
            if plan.serve:
                await self._serve(key, cache, plan.endpoint)
            if plan.delete:
                await self._delete_pod(cache, plan.delete)
            if plan.create:
                await self._create_pod(key, cache, plan.node)
        except Refused as error:
            self._mirror.refuse(key, peers=str(error), peers_reason=error.reason)
            raise Conflict(f"peer server of {cache.namespace}/{cache.name}: {error}") from error

    async def _serve(self, key: Key, cache: Cache, endpoint: PeerPod | None) -> None:
        """The slice is made with its first address, which says of which family it is."""
        address = f"{endpoint.uid} {endpoint.address}" if endpoint else ""
        if self._mirror.peer_endpoints.get(key) == address:
            return
        service = await self._ensure(cache, kube.SERVICES, peer_objects.service(cache), cache.uid)
        uid = service["metadata"]["uid"]
        if endpoint:
            slice_ = peer_objects.endpoint_slice(cache, uid, endpoint)
            await self._ensure(cache, kube.ENDPOINT_SLICES, slice_, uid)
        else:
            await self._empty_slice(cache, uid)
        self._mirror.peer_endpoints[key] = address
        _log(cache, "peer endpoint", endpoint=address)

    async def _empty_slice(self, cache: Cache, service_uid: str) -> None:
        found = await self._find(kube.ENDPOINT_SLICES, cache)
        if found and controller_uid(found["metadata"]) == service_uid and found.get("endpoints"):
            await self._patch(kube.ENDPOINT_SLICES, found, {"endpoints": []})

    async def _ensure(self, cache: Cache, resource: kube.Resource, body: Json, owner_uid: str) -> Json:
        """Create it, or change it if it is ours.

        Raises:
            NameTaken: when it is somebody else's.
        """
        metadata = body["metadata"]
        try:
            return await self._api.create(resource, body)
        except Conflict:
            found = await self._api.get(resource, metadata["namespace"], metadata["name"])
        if controller_uid(found["metadata"]) != owner_uid:
            raise NameTaken(peer_objects.name_taken(body["kind"], metadata["name"], cache))
        wanted = _differences(body, found)
        return await self._patch(resource, found, wanted) if wanted else found

    async def _patch(self, resource: kube.Resource, found: Json, change: Json) -> Json:
        metadata = found["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, **change}
        return await self._api.patch(resource, metadata["namespace"], metadata["name"], body)

    async def _find(self, resource: kube.Resource, cache: Cache) -> Json | None:
        try:
            return await self._api.get(resource, cache.namespace, peer_objects.name(cache))
        except Missing:
            return None

    async def _remove_service(self, cache: Cache) -> None:
        """Its slice is deleted with it."""
        found = await self._find(kube.SERVICES, cache)
        if found and controller_uid(found["metadata"]) == cache.uid:
            metadata = found["metadata"]
            with contextlib.suppress(Missing):
                await self._api.delete(kube.SERVICES, cache.namespace, metadata["name"], uid=metadata["uid"])
            _log(cache, "peer service deleted", service=metadata["name"])

    async def _delete_pod(self, cache: Cache, pod: PeerPod) -> None:
        """By its uid: never another one that took its name."""
        with contextlib.suppress(Missing):
            await self._api.delete(kube.PODS, cache.namespace, pod.name, uid=pod.uid)
        _log(cache, "peer pod deleted", pod=pod.name, uid=pod.uid)

    async def _create_pod(self, key: Key, cache: Cache, node: str) -> None:
        try:
            raw = await self._api.create(kube.PODS, peer_objects.pod(cache, self._image, node))
        except Conflict as error:
            raise NameTaken(peer_objects.name_taken("Pod", peer_objects.name(cache), cache)) from error
        self._mirror.peers_created[key] = raw["metadata"]["uid"]
        self._mirror.upsert_pod(raw)
        _log(cache, "peer pod created", pod=raw["metadata"]["name"], node=node)


def _differences(body: Json, found: Json) -> Json:
    """What must be patched: of a Service, anything that leads its traffic elsewhere."""
    if body["kind"] == "Service":
        spec = found.get("spec") or {}
        ports = [{key: each.get(key) for key in body["spec"]["ports"][0]} for each in spec.get("ports") or ()]
        astray = {each: None for each in ("selector", "externalName", "externalIPs") if spec.get(each)}
        same = not astray and spec.get("type") == body["spec"]["type"] and ports == body["spec"]["ports"]
        return {} if same else {"spec": {**body["spec"], **astray}}
    return {} if found.get("endpoints") == body["endpoints"] else {key: body[key] for key in ("endpoints", "ports")}


def _log(cache: Cache, what: str, **more: Any) -> None:
    log.info(what, extra=fields(namespace=cache.namespace, cache=cache.name, **more))
