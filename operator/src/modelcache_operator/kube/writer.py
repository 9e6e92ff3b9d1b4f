"""Carrying out a decision, in an order that survives being killed between any two calls.

Everything that a status speaks of is made before the status says so, under names that make doing it twice harmless;
the status is written with the version that it was decided on, so that nobody's newer spec is overlooked; gates come
last, each after asking the API whether cache and claim are still what they were when the cache was found complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from modelcache_operator.core import names, render, words
from modelcache_operator.core.evidence import is_proven_on
from modelcache_operator.core.facts import CacheFacts, PodFacts
from modelcache_operator.core.gates import gate_patch, waited_s
from modelcache_operator.core.jobs import sync_job
from modelcache_operator.core.reading import controller_uid, read_cache, read_claim, read_pod
from modelcache_operator.core.reconcile import Decision
from modelcache_operator.core.volume import is_made_for
from modelcache_operator.core.words import duration
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import ApiError, Conflict, Missing, NameTaken, OldDefinition, Unavailable
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.lists import look_at_claim
from modelcache_operator.kube.store import Store

log = logging.getLogger(__name__)
Json = dict[str, Any]

AT_ONCE = 16
"""Calls for one cache."""


class Writer:
    """Makes the calls, and tells the store what came of them without waiting for the watch."""

    def __init__(self, api: Api, store: Store, image: str, clock: Callable[[], float] = time.time) -> None:
        self._api = api
        self._store = store
        self._image = image
        self._clock = clock

    async def prepare(self, cache: CacheFacts, decision: Decision) -> None:
        """All but status and gates."""
        key = Key(cache.namespace, cache.name)
        if decision.write_config:
            await self._write_config(cache)
            self._store.digests[key] = (cache.uid, cache.digest)
        if decision.create_claim:
            await self._create_claim(cache)
        if decision.own_claim is not None:
            await self._own_claim(cache, decision.own_claim)
        for name in decision.delete_jobs:
            await self._delete_job(cache, name)
        if decision.create_job:
            body = sync_job(cache, decision.create_job, self._image)
            self._store.take_job(await self._create_or_get(kube.JOBS, body))
            _say(cache, "sync job created", job=decision.create_job.name, resync=decision.create_job.resync)

    async def _write_config(self, cache: CacheFacts) -> None:
        """Create it, or change it if its owner is this very cache.

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
            if controller_uid(found["metadata"]) != cache.uid:
                raise NameTaken(words.config_map_taken(name, cache.name)) from None
            body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            await self._api.patch(kube.CONFIG_MAPS, cache.namespace, name, body)

    async def _create_claim(self, cache: CacheFacts) -> None:
        body = render.claim(cache, owned=cache.volume.delete_with_cache)
        raw = await self._create_or_get(kube.CLAIMS, body)
        self._store.take_claim(Key(cache.namespace, cache.volume.claim), raw)
        _say(cache, "claim created", claim=cache.volume.claim)

    async def _own_claim(self, cache: CacheFacts, owned: bool) -> None:
        """Ties the claim's life to the cache's, or unties it, provided that the claim was made for this cache."""
        claim = await self._api.get(kube.CLAIMS, cache.namespace, cache.volume.claim)
        if not is_made_for(read_claim(claim), cache):
            raise Conflict(f"owning claim {cache.namespace}/{cache.volume.claim}: it was replaced meanwhile")
        owners = [each for each in claim["metadata"].get("ownerReferences") or [] if each.get("uid") != cache.uid]
        if owned:
            owners.append(render.claim_owner(cache))
        metadata = {"resourceVersion": claim["metadata"]["resourceVersion"], "ownerReferences": owners}
        raw = await self._api.patch(kube.CLAIMS, cache.namespace, cache.volume.claim, {"metadata": metadata})
        self._store.take_claim(Key(cache.namespace, cache.volume.claim), raw)

    async def _delete_job(self, cache: CacheFacts, name: str) -> None:
        with contextlib.suppress(Missing):
            await self._api.delete(kube.JOBS, cache.namespace, name)
        _say(cache, "superseded sync job deleted", job=name)

    async def _create_or_get(self, resource: kube.Resource, body: Json) -> Json:
        try:
            return await self._api.create(resource, body)
        except Conflict:  # it is there: we were killed after creating it, or the claim is a user's
            return await self._api.get(resource, body["metadata"]["namespace"], body["metadata"]["name"])

    async def write_status(self, cache: CacheFacts, decision: Decision) -> CacheFacts:
        """Write what differs, if anything does; returns the cache as it is then."""
        before = cache.status.to_json() if cache.status.phase else {}  # defaults are not written yet
        patch = difference(before, decision.status.to_json())
        if not patch:
            return cache
        await self._tell_released(cache, decision.released)
        body = {"metadata": {"resourceVersion": cache.version}, "status": patch}
        raw = await self._api.patch(kube.CACHES, cache.namespace, cache.name, body, sub="status")
        if decision.status.sync.claim_uid and not read_cache(raw).status.sync.claim_uid:
            raise OldDefinition
        key = Key(cache.namespace, cache.name)
        self._store.take_cache(raw)
        for notice in decision.notices:
            _say(cache, "phase", phase=decision.status.phase, reason=notice.message)
            await self._post(render.cache_event(cache, notice.type, notice.reason, notice.message, self._clock()))
        for pod in decision.released:
            _say(cache, "gate opened", pod=pod.name, waited_s=round(waited_s(pod), 3))
        return self._store.caches.get(key, cache)

    async def _tell_released(self, cache: CacheFacts, pods: tuple[PodFacts, ...]) -> None:
        """Before they are counted: an Event posted twice is refused by its name, one not posted would be lost."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def tell(pod: PodFacts) -> None:
            waited = duration(waited_s(pod))
            message = f"ModelCache {cache.name} is complete; this pod waited {waited} without holding a GPU"
            async with slots:
                await self._post(render.pod_event(pod, "Normal", "GateOpened", message, pod.opened_at or 0.0))

        await asyncio.gather(*(tell(pod) for pod in pods))

    async def open_gates(self, cache: CacheFacts, pods: tuple[PodFacts, ...]) -> None:
        """Remove the gates; none unless the API itself says that the cache is complete, and on this very claim.

        Raises:
            Conflict: when it is not, any more.
        """
        claim = Key(cache.namespace, cache.volume.claim)
        live, _ = await asyncio.gather(
            self._api.get(kube.CACHES, cache.namespace, cache.name), look_at_claim(self._api, self._store, claim)
        )
        self._store.take_cache(live)
        if not _still_complete(live, cache):
            raise Conflict(f"opening the gate of {cache.namespace}/{cache.name}: the cache changed meanwhile")
        if not is_proven_on(cache.status.sync, self._store.claims.get(claim)):
            raise Conflict(f"opening the gate of {cache.namespace}/{cache.name}: the claim changed meanwhile")
        slots = asyncio.Semaphore(AT_ONCE)
        results = await asyncio.gather(*(self._open_gate(pod, slots) for pod in pods), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _open_gate(self, pod: PodFacts, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                patch = gate_patch(pod, self._clock())
                raw = await self._api.patch(kube.PODS, pod.namespace, pod.name, patch, kind=kube.JSON_PATCH)
            except (Missing, Conflict, Unavailable):
                # It is not what we thought, or the patch was carried out and only the answer was lost.
                if await self._is_held(pod):
                    raise
            else:
                self._store.take_pod(raw)

    async def _is_held(self, pod: PodFacts) -> bool:
        """Look at the pod again: the watch may be late, or cut too."""
        raw = await self._api.find(kube.PODS, pod.namespace, pod.name)
        if raw is None:
            self._store.forget_pod(pod)
            return False
        self._store.take_pod(raw)
        found = read_pod(raw)
        return found.uid == pod.uid and names.GATE in found.gates

    async def warn_orphan(self, pod: PodFacts) -> None:
        """Tell a gated pod that nobody will ever let it go; once, whoever restarts."""
        message = (
            f"waits for ModelCache {pod.cache}, and namespace {pod.namespace} has none of that name. Create it, or "
            f"correct the label {names.CACHE_LABEL}"
        )
        await self._post(render.pod_event(pod, "Warning", "ModelCacheNotFound", message, self._clock()))

    async def _post(self, event: Json) -> None:
        """Events are for people; losing one changes nothing."""
        try:
            await self._api.create(kube.EVENTS, event)
        except Conflict:
            pass
        except ApiError as error:
            log.warning("event not posted: %s", error)


def _still_complete(live: Json, cache: CacheFacts) -> bool:
    metadata, status = live["metadata"], live.get("status") or {}
    return (
        metadata["uid"] == cache.uid
        and not metadata.get("deletionTimestamp")
        and metadata.get("generation") == cache.generation == status.get("observedGeneration")
        and status.get("complete") is True
    )


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


def _say(cache: CacheFacts, what: str, **fields: Any) -> None:
    log.info(what, extra={"fields": {"namespace": cache.namespace, "cache": cache.name, **fields}})
