"""What pods and Jobs of users are told by Events, once for each cause."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from init_sync.shell.logs import fields
from modelcache_operator.core import names, render, unheld
from modelcache_operator.core.observed import Cache, Job
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.status import Phase, Status
from modelcache_operator.kube import events
from modelcache_operator.kube.api import Api

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Calls for one cache."""
MAX_REMEMBERED = 10_000


class Notices:
    """Remembers what it told; after a restart the name of an Event stops a second one."""

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._told: set[tuple[str, str]] = set()
        """Uid of an object, and the reason and cause of the Event."""

    async def waiting(self, cache: Cache, pods: tuple[Pod, ...], status: Status) -> None:
        """What a pod waits for; again when the reason changes."""
        found = status.condition("Complete")
        progress = f" ({status.summary.progress})" if status.summary.progress else ""
        message = f"waits for ModelCache {cache.name}, which is {status.phase}{progress}: {status.message}"
        await self._each(pods, "Normal", "WaitingForModelCache", message, found.reason if found else "")

    async def not_joined(self, cache: str, pods: tuple[Pod, ...]) -> None:
        await self._each(pods, "Warning", unheld.NOT_JOINED, unheld.not_joined(cache))

    async def lead_time_failed(self, cache: str, pods: tuple[Pod, ...], phase: Phase) -> None:
        """Again when the phase changes."""
        await self._each(pods, "Warning", unheld.LEAD_TIME_FAILED, unheld.lead_time_failed(cache, phase), phase)

    async def without_node(self, pods: tuple[Pod, ...]) -> None:
        """There will be no copy for them, whatever is synced."""
        for pod in pods:
            message = (
                f"waits for ModelCache {pod.cache}, which has copies on other nodes: none that has one, or will "
                "have one, matches the nodeSelector and node affinity of this pod. Correct them, or label a node"
            )
            await self.once(pod, "Warning", "WaitingForModelCache", message, "no node")

    async def stranded(self, pods: tuple[Pod, ...]) -> None:
        """Their nodes are full or gone; which these are was fixed when the gate was removed."""
        for pod in pods:
            message = (
                f"the scheduler finds no room on the nodes that had a copy of ModelCache {pod.cache} when the gate was "
                f"removed: {pod.unschedulable}. Make room there, or delete this pod, so that its successor may use the "
                "copies of today"
            )
            await self.once(pod, "Warning", "NoNodeWithCopy", message)

    async def gate_not_removed(self, pod: Pod, why: str) -> str:
        message = f"the gate of pod {pod.name} cannot be removed: {why}"
        await self.once(pod, "Warning", "GateNotRemoved", message, why)
        return message

    async def orphan(self, waiting: Pod | Job) -> None:
        """There is no cache of the name that it waits for."""
        message = (
            f"waits for ModelCache {waiting.cache}, and namespace {waiting.namespace} has none of that name. Create "
            f"it, or correct the label {names.CACHE_LABEL}"
        )
        if await self.once(waiting, "Warning", "ModelCacheNotFound", message):
            kind = "job" if isinstance(waiting, Job) else "pod"
            where = fields(namespace=waiting.namespace, cache=waiting.cache, **{kind: waiting.name})
            log.warning(f"{kind} waits for a cache that does not exist", extra=where)

    async def once(self, about: Pod | Job, type_: str, reason: str, message: str, cause: str = "") -> bool:
        """Returns whether this was news."""
        if (about.uid, reason + cause) in self._told:
            return False
        if len(self._told) > MAX_REMEMBERED:
            self._told.clear()
        self._told.add((about.uid, reason + cause))
        await events.post(self._api, render.user_event(about, type_, reason, message, self._clock(), cause))
        return True

    async def _each(self, pods: tuple[Pod, ...], type_: str, reason: str, message: str, cause: str = "") -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def tell(pod: Pod) -> None:
            async with slots:
                await self.once(pod, type_, reason, message, cause)

        await asyncio.gather(*map(tell, pods))
