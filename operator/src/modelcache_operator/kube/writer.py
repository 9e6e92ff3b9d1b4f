"""Carrying out a decision, in an order that survives being killed between any two calls.

Everything that a status speaks of is made before the status says so, under names that make doing it twice harmless;
the status is written with the version that it was decided on, so that nobody's newer spec is overlooked. Gates come
last; see ``gates``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from init_sync.shell.logs import fields
from modelcache_operator.core import messages, render
from modelcache_operator.core.claims import is_made_for
from modelcache_operator.core.jobs import sync_job
from modelcache_operator.core.observed import Cache
from modelcache_operator.core.parse import is_own_config_map, parse_cache, parse_claim
from modelcache_operator.core.reconcile import Decision
from modelcache_operator.core.status import to_json
from modelcache_operator.core.task_jobs import task_job
from modelcache_operator.core.tasks import TaskRequest
from modelcache_operator.kube import api as kube
from modelcache_operator.kube import events
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import Conflict, Missing, NameTaken, OldDefinition, Refused
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.peers import PeerWriter

log = logging.getLogger(__name__)
Json = dict[str, Any]


class Writer:
    """Makes the calls, and tells the mirror what came of them without waiting for the watch."""

    def __init__(self, api: Api, mirror: Mirror, image: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._mirror = mirror
        self._image = image
        self._clock = clock
        self._peers = PeerWriter(api, mirror, image)

    async def prepare(self, cache: Cache, decision: Decision) -> None:
        """All but status and gates."""
        key = Key(cache.namespace, cache.name)
        if decision.write_config:
            await self._write_config(cache)
            self._mirror.digests[key] = (cache.uid, cache.digest)
        if decision.create_claim:
            await self._create_claim(cache)
        if decision.own_claim is not None:
            await self._own_claim(cache, decision.own_claim)
        for name in decision.delete_jobs:
            await self._delete_job(cache, name)
        for request in (*filter(None, [decision.create_job]), *decision.copy_jobs):
            body = sync_job(cache, request, self._image)
            self._mirror.upsert_job(await self._create_or_get(kube.JOBS, body))
            node = {"node": request.node} if request.node else {}
            _log(cache, "sync job created", job=request.name, resync=request.resync, **node)
        if decision.enlarge_claim:
            await self._enlarge_claim(cache)
        if decision.tasks.create:
            await self._create_task(cache, decision.tasks.create)
        await self._peers.apply(cache, decision.peers)

    async def _create_task(self, cache: Cache, request: TaskRequest) -> None:
        """What the API refuses is told, and costs nothing but the task.

        Raises:
            Conflict: then, so that the status of a new decision says so.
        """
        try:
            body = task_job(cache, request, self._image)
            self._mirror.upsert_job(await self._create_or_get(kube.JOBS, body))
        except Refused as error:
            self._mirror.refuse(Key(cache.namespace, cache.name), task=str(error))
            raise Conflict(f"creating Job {cache.namespace}/{request.name}: {error}") from error
        _log(cache, "task job created", job=request.name, task=request.task.value)

    async def _write_config(self, cache: Cache) -> None:
        """Create it, or change it if it was made for this very cache.

        Raises:
            NameTaken: when it is somebody else's, such as the chart's own of a release without an operator.
        """
        body = render.config_map(cache)
        try:
            await self._api.create(kube.CONFIG_MAPS, body)
        except Conflict:
            name = body["metadata"]["name"]
            found = await self._api.find(kube.CONFIG_MAPS, cache.namespace, name)
            if found is None:
                raise
            if not is_own_config_map(found, cache):
                raise NameTaken(messages.config_map_taken(name, cache.name)) from None
            body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            try:
                await self._api.patch(kube.CONFIG_MAPS, cache.namespace, name, body)
            except Refused as error:  # the owner alone may be refused: OwnerReferencesPermissionEnforcement
                del body["metadata"]["ownerReferences"]
                await self._api.patch(kube.CONFIG_MAPS, cache.namespace, name, body)
                self._refuse_owner(cache, f"ConfigMap {name}", error)

    async def _create_claim(self, cache: Cache) -> None:
        body = render.claim(cache, owned=cache.volume.delete_with_cache)
        raw = await self._create_or_get(kube.CLAIMS, body)
        self._mirror.upsert_claim(Key(cache.namespace, cache.volume.claim), raw)
        _log(cache, "claim created", claim=cache.volume.claim)

    async def _own_claim(self, cache: Cache, owned: bool) -> None:
        """Ties the claim's life to the cache's, or unties it."""
        claim = await self._claim_of(cache)
        owners = [each for each in claim["metadata"].get("ownerReferences") or [] if each.get("uid") != cache.uid]
        if owned:
            owners.append(render.claim_owner(cache))
        metadata = {"resourceVersion": claim["metadata"]["resourceVersion"], "ownerReferences": owners}
        try:
            raw = await self._api.patch(kube.CLAIMS, cache.namespace, cache.volume.claim, {"metadata": metadata})
        except Refused as error:
            self._refuse_owner(cache, f"claim {cache.volume.claim}", error)
        else:
            self._mirror.upsert_claim(Key(cache.namespace, cache.volume.claim), raw)

    async def _enlarge_claim(self, cache: Cache) -> None:
        """Requests the size of the manifest.

        Raises:
            Conflict: when that is refused, so that the status of a new decision says so.
        """
        claim, size = await self._claim_of(cache), cache.volume.size
        body = {
            "metadata": {"resourceVersion": claim["metadata"]["resourceVersion"]},
            "spec": {"resources": {"requests": {"storage": size}}},
        }
        try:
            raw = await self._api.patch(kube.CLAIMS, cache.namespace, cache.volume.claim, body)
        except Refused as error:
            self._mirror.refuse(Key(cache.namespace, cache.name), size=str(error))
            raise Conflict(f"enlarging claim {cache.namespace}/{cache.volume.claim}: {error}") from error
        self._mirror.upsert_claim(Key(cache.namespace, cache.volume.claim), raw)
        _log(cache, "larger claim requested", claim=cache.volume.claim, size=size)

    async def _claim_of(self, cache: Cache) -> Json:
        """As it is, provided that it was made for this cache."""
        claim = await self._api.get(kube.CLAIMS, cache.namespace, cache.volume.claim)
        if not is_made_for(parse_claim(claim), cache):
            raise Conflict(f"changing claim {cache.namespace}/{cache.volume.claim}: it was replaced meanwhile")
        return claim

    def _refuse_owner(self, cache: Cache, what: str, error: Refused) -> None:
        """The sync goes on: all that is lost is that the object is deleted, or kept, with the cache."""
        message = f"the owner reference of {what} cannot be changed: {error}"
        if self._mirror.refuse(Key(cache.namespace, cache.name), owner=message):
            log.warning("%s", message, extra=fields(namespace=cache.namespace, cache=cache.name))

    async def _delete_job(self, cache: Cache, name: str) -> None:
        with contextlib.suppress(Missing):
            await self._api.delete(kube.JOBS, cache.namespace, name)
        _log(cache, "job deleted", job=name)

    async def _create_or_get(self, resource: kube.Resource, body: Json) -> Json:
        try:
            return await self._api.create(resource, body)
        except Conflict:  # it is there: we were killed after creating it, or the claim is a user's
            return await self._api.get(resource, body["metadata"]["namespace"], body["metadata"]["name"])

    async def write_status(self, cache: Cache, decision: Decision) -> Cache:
        """Write what differs, if anything does; returns the cache as it is then."""
        before = to_json(cache.status) if cache.status.phase else {}  # defaults are not written yet
        patch = difference(before, to_json(decision.status))
        if not patch:
            return cache
        body = {"metadata": {"resourceVersion": cache.version}, "status": patch}
        raw = await self._api.patch(kube.CACHES, cache.namespace, cache.name, body, sub="status")
        if decision.status.sync.claim_uid and not parse_cache(raw).status.sync.claim_uid:
            raise OldDefinition
        self._mirror.upsert_cache(raw)
        for notice in decision.notices:
            _log(cache, "phase", phase=decision.status.phase, reason=notice.message)
            event = render.cache_event(cache, notice.type, notice.reason, notice.message, self._clock())
            await events.post(self._api, event)
        return self._mirror.caches.get(Key(cache.namespace, cache.name), cache)


def difference(old: Json, new: Json) -> Json:
    """A merge patch from one to the other; null removes. Lists are replaced as a whole."""
    patch: Json = {}
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            patch[key] = difference(before, after)
        else:
            patch[key] = after
    return patch


def _log(cache: Cache, what: str, **more: Any) -> None:
    log.info(what, extra=fields(namespace=cache.namespace, cache=cache.name, **more))
