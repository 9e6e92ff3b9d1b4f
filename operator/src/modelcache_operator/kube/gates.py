"""Pods at the gate: removing their gates, and telling them what they wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from init_sync.shell.formatting import duration
from init_sync.shell.logs import fields
from modelcache_operator.core import names, render
from modelcache_operator.core.gate import gate_patch
from modelcache_operator.core.observed import Cache, Pod
from modelcache_operator.core.parse import parse_pod
from modelcache_operator.core.proof import is_proven_on
from modelcache_operator.core.status import Status
from modelcache_operator.kube import api as kube
from modelcache_operator.kube import events
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import Conflict, Missing, Refused, Unavailable
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.lists import look_at_claim
from modelcache_operator.kube.mirror import Mirror

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Calls for one cache."""
MAX_REMEMBERED = 10_000


class Gates:
    """``on_removed`` is called with each pod whose gate was removed, and the seconds that it had waited."""

    def __init__(
        self, api: Api, mirror: Mirror, clock: Callable[[], float], on_removed: Callable[[Key, Pod, float], None]
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._clock = clock
        self._on_removed = on_removed
        self._told: set[tuple[str, str]] = set()
        """Uid of a pod, and why it was told to wait."""
        self._unanswered: set[str] = set()
        """Uids of pods whose patch may have been carried out, though its answer was lost."""

    async def remove(self, cache: Cache, pods: tuple[Pod, ...]) -> str:
        """Remove the gates; none unless the API itself says that the cache is complete, and on this very claim.

        Returns why the API refused to remove a gate; empty if it refused none.

        Raises:
            Conflict: when the cache is not complete, any more.
        """
        claim = Key(cache.namespace, cache.volume.claim)
        live, _ = await asyncio.gather(
            self._api.get(kube.CACHES, cache.namespace, cache.name), look_at_claim(self._api, self._mirror, claim)
        )
        self._mirror.upsert_cache(live)
        if not _still_complete(live, cache):
            raise Conflict(f"removing gates of {cache.namespace}/{cache.name}: the cache changed meanwhile")
        if not is_proven_on(cache.status.sync, self._mirror.claims.get(claim)):
            raise Conflict(f"removing gates of {cache.namespace}/{cache.name}: the claim changed meanwhile")
        slots = asyncio.Semaphore(AT_ONCE)
        results = await asyncio.gather(*(self._remove_one(cache, pod, slots) for pod in pods), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return next((result for result in results if isinstance(result, str) and result), "")

    async def _remove_one(self, cache: Cache, pod: Pod, slots: asyncio.Semaphore) -> str:
        """Remove one gate and tell everybody: the pod by an Event, the log, and the metrics."""
        now = self._clock()
        async with slots:
            try:
                patch = gate_patch(pod, cache.status.summary.commit, now)
                raw = await self._api.patch(kube.PODS, pod.namespace, pod.name, patch, kind=kube.JSON_PATCH)
            except Refused as error:
                return await self._tell_refused(pod, str(error))
            except (Missing, Conflict, Unavailable) as error:
                if isinstance(error, Unavailable):
                    self._unanswered.add(pod.uid)
                if await self._is_held(pod):
                    raise
                if pod.uid not in self._unanswered:
                    return ""
            else:
                self._mirror.upsert_pod(raw)
            self._unanswered.discard(pod.uid)
            waited = max(0.0, now - pod.created_at)
            message = f"ModelCache {cache.name} is complete; this pod waited {duration(waited)} without holding a GPU"
            await events.post(self._api, render.pod_event(pod, "Normal", "GateOpened", message, now))
        where = fields(namespace=cache.namespace, cache=cache.name, pod=pod.name, waited_s=round(waited, 3))
        log.info("gate removed", extra=where)
        self._on_removed(Key(cache.namespace, cache.name), pod, waited)
        return ""

    async def _is_held(self, pod: Pod) -> bool:
        """Look at the pod again: the watch may be late, or cut too."""
        raw = await self._api.find(kube.PODS, pod.namespace, pod.name)
        if raw is None:
            self._mirror.remove_pod(pod)
            return False
        self._mirror.upsert_pod(raw)
        found = parse_pod(raw)
        return found.uid == pod.uid and names.GATE in found.gates

    async def _tell_refused(self, pod: Pod, why: str) -> str:
        message = f"the gate of pod {pod.name} cannot be removed: {why}"
        await self._tell_once(pod, "Warning", "GateNotRemoved", message, why)
        return message

    async def tell_waiting(self, cache: Cache, pods: tuple[Pod, ...], status: Status) -> None:
        """Say by an Event what a pod waits for; again when the reason changes."""
        found = status.condition("Complete")
        reason = found.reason if found else ""
        progress = f" ({status.summary.progress})" if status.summary.progress else ""
        message = f"waits for ModelCache {cache.name}, which is {status.phase}{progress}: {status.message}"
        slots = asyncio.Semaphore(AT_ONCE)

        async def tell(pod: Pod) -> None:
            async with slots:
                await self._tell_once(pod, "Normal", "WaitingForModelCache", message, reason)

        await asyncio.gather(*(tell(pod) for pod in pods))

    async def tell_orphan(self, pod: Pod) -> None:
        """Tell a pod that there is no cache of the name that it waits for."""
        message = (
            f"waits for ModelCache {pod.cache}, and namespace {pod.namespace} has none of that name. Create it, or "
            f"correct the label {names.CACHE_LABEL}"
        )
        if await self._tell_once(pod, "Warning", "ModelCacheNotFound", message, ""):
            where = fields(namespace=pod.namespace, cache=pod.cache, pod=pod.name)
            log.warning("pod waits for a cache that does not exist", extra=where)

    async def _tell_once(self, pod: Pod, type_: str, reason: str, message: str, why: str) -> bool:
        """One Event for each pod and cause; after a restart the name of the Event stops a second one."""
        if (pod.uid, reason + why) in self._told:
            return False
        if len(self._told) > MAX_REMEMBERED:
            self._told.clear()
        self._told.add((pod.uid, reason + why))
        await events.post(self._api, render.pod_event(pod, type_, reason, message, self._clock(), why))
        return True


def _still_complete(live: dict[str, Any], cache: Cache) -> bool:
    metadata, status = live["metadata"], live.get("status") or {}
    return (
        metadata["uid"] == cache.uid
        and not metadata.get("deletionTimestamp")
        and metadata.get("generation") == cache.generation == status.get("observedGeneration")
        and status.get("complete") is True
    )
