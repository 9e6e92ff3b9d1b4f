"""From the work queue to the API: look, decide, do, for one cache after the other, several caches at a time.

An error of the API never ends the loop: what may work later is tried again with growing delays, what was refused is
said in the status, and whatever is missed in between is found by the next full list.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from init_sync.shell.backoff import Backoff
from init_sync.shell.logs import fields
from modelcache_operator.app.counters import Counters
from modelcache_operator.app.queue import WorkQueue
from modelcache_operator.app.retry_timing import RetryTiming
from modelcache_operator.core import names
from modelcache_operator.core.gate import gated_pods
from modelcache_operator.core.observed import NO_REFUSALS, Cache, Claim, Job, Snapshot
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.proof import is_new_proof, job_pods_stale
from modelcache_operator.core.queues import queued_jobs
from modelcache_operator.core.reconcile import Decision, reconcile
from modelcache_operator.core.task_ends import has_unsettled
from modelcache_operator.core.unheld import is_joined
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import ApiError, Conflict, Missing, OldDefinition, Refused, Unavailable
from modelcache_operator.kube.gates import Gates
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.lists import look_at_claim
from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.notices import Notices
from modelcache_operator.kube.queues import Queues
from modelcache_operator.kube.writer import Writer

log = logging.getLogger(__name__)

COPIES_WRITE_S = 2.0
"""At least between two statuses of a cache with a copy on every node: they are large, and change with each of them."""
CONTROLLERS = 16
"""Caches handled at a time."""


class Controller:
    """Handles one name at a time; ``run`` may be started several times over the same queue."""

    def __init__(
        self,
        api: Api,
        mirror: Mirror,
        queue: WorkQueue[Key],
        image: str,
        may_write: Callable[[], bool],
        claim_check_s: float,
        timing: RetryTiming,
        counters: Counters,
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._queue = queue
        self._clock = api.clock
        self._writer = Writer(api, mirror, image, self._clock)
        self._notices = Notices(api, self._clock)
        self._gates = Gates(api, mirror, self._notices, self._clock, counters.count_gate)
        self._queues = Queues(api, mirror, self._notices)
        self._may_write = may_write
        self._claim_check_s = claim_check_s
        self._timing = timing
        self._backoff = Backoff(timing.first_retry_s, timing.longest_retry_s)
        self._counters = counters
        self._written: dict[Key, float] = {}
        """When the status of a cache with a copy on every node was written."""

    async def run(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._guarded(key)
            finally:
                self._queue.done(key)

    async def _guarded(self, key: Key) -> None:
        if not self._may_write():
            self._queue.add_later(key, 1.0)
            return
        try:
            await self.handle(key)
        except (Conflict, Missing) as error:  # changed or deleted since it was read: both are told by a watch
            log.debug("deciding again: %s", error)
            self._queue.add_later(key, min(5.0, self._backoff.failed(key) / 4))
        except Refused as error:
            self._refused(key, error)
        except ApiError as error:
            self._failed(key, error, error.retry_after_s if isinstance(error, Unavailable) else 0.0)
        except OldDefinition:
            raise
        except Exception as error:  # a bug must cost one cache a delay, not all of them the operator
            log.exception("reconciling failed", extra=fields(namespace=key.namespace, cache=key.name))
            self._failed(key, error, 0.0)
        else:
            if not self._mirror.refusals.get(key, NO_REFUSALS).object:
                self._backoff.succeeded(key)

    def _refused(self, key: Key, error: Refused) -> None:
        """Nothing is made until the time to try again has come; what is new goes into the status at once."""
        delay = self._failed(key, error, 0.0)
        if self._mirror.refuse(key, reason=error.reason, object=str(error), until=self._clock() + delay):
            self._queue.add(key)

    def _failed(self, key: Key, error: Exception, at_least_s: float) -> float:
        """Try again later; returns after how many seconds."""
        self._counters.errors.inc()
        delay = max(at_least_s, self._backoff.failed(key))
        if isinstance(error, Unavailable):
            delay = max(at_least_s, min(delay, self._timing.outage_retry_s))
        log.warning("%s", error, extra=fields(namespace=key.namespace, cache=key.name, retry_s=round(delay, 1)))
        self._queue.add_later(key, delay)
        return delay

    async def handle(self, key: Key) -> None:
        """One look at one cache; at one with many copies not more often than its status may be written."""
        if (wait := self._written.get(key, 0.0) + COPIES_WRITE_S - time.monotonic()) > 0:
            self._queue.add_later(key, wait)
            return
        self._counters.reconciles.inc()
        snapshot = await self._observe(key)
        if snapshot is None:
            self._counters.remove_cache(key)
            self._written.pop(key, None)
            await self._orphans(key)
            return
        decision = reconcile(snapshot, self._clock())
        if is_new_proof(snapshot.cache.status, decision.status):
            await self._look_at_claim(key)
            if self._claim(snapshot.cache) != snapshot.claim:
                self._queue.add(key)  # a proof is about one claim, and this one is another than it was
                return
        await self._carry_out(key, snapshot.cache, decision)

    async def _observe(self, key: Key) -> Snapshot | None:
        """What is known, brought up to date where that matters: a claim that is not bound, pods of a Job that ended."""
        cache = self._mirror.caches.get(key)
        claim = self._claim(cache) if cache else None
        if cache and not (claim and claim.bound):
            await self._look_at_claim(key)
        snapshot = self._mirror.snapshot(key)
        if snapshot is None or not (job_pods_stale(snapshot) or has_unsettled(snapshot)):
            return snapshot
        async for page in self._api.pages(kube.PODS, key.namespace, f"{names.CACHE_LABEL}={key.name}"):
            for raw in page["items"]:
                self._mirror.upsert_pod(raw)
        return self._mirror.snapshot(key)

    def _claim(self, cache: Cache) -> Claim | None:
        return self._mirror.claims.get(Key(cache.namespace, cache.volume.claim))

    async def _look_at_claim(self, key: Key) -> None:
        """Ask for the claim. Another cache on it may have asked meanwhile, so that nothing changes by this answer."""
        claim = Key(key.namespace, self._mirror.caches[key].volume.claim)
        changed = set(await look_at_claim(self._api, self._mirror, claim)) if claim.name else set()
        self._queue.add_all(changed - {key})

    async def _carry_out(self, key: Key, cache: Cache, decision: Decision) -> None:
        try:
            await self._writer.prepare(cache, decision)
        except Refused:
            if cache.volume.per_node:
                self._queue.add(key)  # copies that are complete need nothing of it: another look, which makes nothing
            raise
        if decision.acts and self._mirror.refuse(key, reason="", object="", until=0.0):
            self._queue.add(key)  # the status of this look still speaks of the refusal
        cache = await self._write_status(key, cache, decision)
        await self._tell(cache, decision)
        if decision.remove_gates.pods:
            await self._remove_gates(key, cache, decision)
        if decision.admit_jobs and not await self._queues.admit(cache, decision.admit_jobs):
            self._queue.add_later(key, self._timing.longest_retry_s)
        if decision.create_claim or decision.create_job or decision.peers.create or decision.tasks.again:
            # a Job is made for a claim that exists; its name may be that of a foreign one; a uid is noted
            self._queue.add(key)
        if decision.wake_at is not None:
            self._queue.add_later(key, decision.wake_at - self._clock() + 0.05)
        if not decision.status.is_true("VolumeReady"):
            self._queue.add_later(key, self._claim_check_s)

    async def _tell(self, cache: Cache, decision: Decision) -> None:
        await self._notices.waiting(cache, decision.notify_waiting, decision.status)
        await self._notices.not_joined(cache.name, decision.notify_strays)
        await self._notices.without_node(decision.notify_without_node)
        await self._notices.stranded(decision.notify_stranded)
        if decision.notify_failed and decision.status.phase:
            await self._notices.lead_time_failed(cache.name, decision.notify_failed, decision.status.phase)

    async def _remove_gates(self, key: Key, cache: Cache, decision: Decision) -> None:
        refused = await self._gates.remove(cache, decision.remove_gates)
        if self._mirror.refuse(key, gate=refused):
            self._queue.add(key)  # the status has yet to say so
        if refused:
            self._queue.add_later(key, self._backoff.failed((key, "gate")))
        else:
            self._backoff.succeeded((key, "gate"))

    async def _write_status(self, key: Key, cache: Cache, decision: Decision) -> Cache:
        try:
            written = await self._writer.write_status(cache, decision)
        except Missing:  # deleted meanwhile
            return cache
        except Conflict:
            self._mirror.upsert_cache(await self._api.get(kube.CACHES, key.namespace, key.name))
            raise
        if written is not cache:
            self._counters.status_writes.inc()
            if cache.volume.per_node:
                self._written[key] = time.monotonic()
        return written

    async def _orphans(self, key: Key) -> None:
        """Pods and Jobs that wait for a cache that does not exist, and pods that do not even wait."""
        pods = tuple(self._mirror.pods.get(key, {}).values())
        await self._notices.not_joined(key.name, tuple(pod for pod in pods if not is_joined(pod)))
        waiting: list[Pod | Job] = [*gated_pods(pods), *queued_jobs(self._mirror.jobs.get(key, {}).values())]
        for each in waiting:
            age = self._clock() - each.created_at
            if age < self._timing.orphan_grace_s:
                self._queue.add_later(key, self._timing.orphan_grace_s - age)
            else:
                await self._notices.orphan(each)
