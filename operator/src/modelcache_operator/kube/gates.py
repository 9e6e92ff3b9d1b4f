"""Removing gates from pods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from init_sync.shell.formatting import duration
from init_sync.shell.logs import fields
from modelcache_operator.core import names, render
from modelcache_operator.core.copy_gate import affinity_patch
from modelcache_operator.core.gate import Cause, Removal, gate_patch
from modelcache_operator.core.observed import Cache
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.parse_pods import parse_pod
from modelcache_operator.core.proof import is_proven_on
from modelcache_operator.kube import api as kube
from modelcache_operator.kube import events
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import Conflict, Missing, Refused, Unavailable
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.lists import look_at_claim
from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.notices import Notices

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Calls for one cache."""


class Gates:
    """``on_removed`` is called with each pod whose gate was removed, why, and the seconds that it had waited."""

    def __init__(
        self,
        api: Api,
        mirror: Mirror,
        notices: Notices,
        clock: Callable[[], float],
        on_removed: Callable[[Key, Pod, Cause, float], None],
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._notices = notices
        self._clock = clock
        self._on_removed = on_removed
        self._unanswered: set[str] = set()
        """Uids of pods whose patch may have been carried out, though its answer was lost."""

    async def remove(self, cache: Cache, removal: Removal) -> str:
        """Remove the gates; none unless the API itself has this very cache and spec.

        With the cause Complete, it must also say that the cache is complete, and on this very claim.

        Returns why the API refused to remove a gate; empty if it refused none.

        Raises:
            Conflict: when that has changed.
        """
        claim = Key(cache.namespace, cache.volume.claim)
        live, _ = await asyncio.gather(
            self._api.get(kube.CACHES, cache.namespace, cache.name), look_at_claim(self._api, self._mirror, claim)
        )
        self._mirror.upsert_cache(live)
        complete = removal.cause is Cause.COMPLETE
        if not _is_the_same(live, cache) or (complete and not _is_complete(live)):
            raise Conflict(f"removing gates of {cache.namespace}/{cache.name}: the cache changed meanwhile")
        if complete and not is_proven_on(cache.status.sync, self._mirror.claims.get(claim)):
            raise Conflict(f"removing gates of {cache.namespace}/{cache.name}: the claim changed meanwhile")
        slots = asyncio.Semaphore(AT_ONCE)
        removing = (self._remove_one(cache, removal, pod, slots) for pod in removal.pods)
        results = await asyncio.gather(*removing, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return next((result for result in results if isinstance(result, str) and result), "")

    async def _remove_one(self, cache: Cache, removal: Removal, pod: Pod, slots: asyncio.Semaphore) -> str:
        """Remove one gate and tell everybody: the pod by an Event, the log, and the metrics."""
        now = self._clock()
        async with slots:
            try:
                patch = gate_patch(pod, removal, cache.status.summary.commit, now)
                if removal.lead_to:
                    patch += affinity_patch(await self._present(pod), removal.lead_to)
                raw = await self._api.patch(kube.PODS, pod.namespace, pod.name, patch, kind=kube.JSON_PATCH)
            except Refused as error:
                return await self._notices.gate_not_removed(pod, str(error))
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
            message = f"{_because(cache, removal)}; this pod waited {duration(waited)} without holding a GPU"
            await events.post(self._api, render.user_event(pod, "Normal", "GateOpened", message, now))
        where = {"namespace": cache.namespace, "cache": cache.name, "pod": pod.name, "waited_s": round(waited, 3)}
        left = {"left_s": round(removal.left_s)} if removal.cause is Cause.LEAD_TIME else {}
        log.info("gate removed", extra=fields(**where, cause=removal.cause, **left))
        self._on_removed(Key(cache.namespace, cache.name), pod, removal.cause, waited)
        return ""

    async def _present(self, pod: Pod) -> dict[str, Any]:
        """The whole pod, since its affinity is patched; it must match the nodes that it matched before."""
        raw = await self._api.find(kube.PODS, pod.namespace, pod.name)
        if raw is None:
            raise Missing(f"pod {pod.namespace}/{pod.name} is gone")
        if parse_pod(raw).node_affinity != pod.node_affinity:
            raise Conflict(f"removing the gate of pod {pod.namespace}/{pod.name}: its affinity changed meanwhile")
        return raw

    async def _is_held(self, pod: Pod) -> bool:
        """Look at the pod again: the watch may be late, or cut too."""
        raw = await self._api.find(kube.PODS, pod.namespace, pod.name)
        if raw is None:
            self._mirror.remove_pod(pod)
            return False
        self._mirror.upsert_pod(raw)
        found = parse_pod(raw)
        return found.uid == pod.uid and names.GATE in found.gates


def _is_the_same(live: dict[str, Any], cache: Cache) -> bool:
    metadata = live["metadata"]
    return (
        metadata["uid"] == cache.uid
        and not metadata.get("deletionTimestamp")
        and metadata.get("generation") == cache.generation
    )


def _is_complete(live: dict[str, Any]) -> bool:
    status = live.get("status") or {}
    return status.get("complete") is True and status.get("observedGeneration") == live["metadata"].get("generation")


def _because(cache: Cache, removal: Removal) -> str:
    match removal.cause:
        case Cause.COMPLETE:
            return f"ModelCache {cache.name} is complete"
        case Cause.LEAD_TIME:
            left, lead_time = duration(removal.left_s), duration(cache.lead_time_s)
            return f"lead time: ModelCache {cache.name} is expected to be complete in {left} (leadTime is {lead_time})"
        case Cause.JOBS_DISABLED:
            return f"ModelCache {cache.name} has no sync Jobs: the init container of this pod syncs"
