"""From the work queue to the API: look, decide, do, for one cache after the other, several caches at a time.

An error of the API never ends the loop: what may work later is tried again with growing delays, what was refused is
said in the status, and whatever is missed in between is found by the next full list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from modelcache_operator.app.backoff import Backoff
from modelcache_operator.app.counters import Counters
from modelcache_operator.app.queue import WorkQueue
from modelcache_operator.app.retry_timing import RetryTiming
from modelcache_operator.core import names
from modelcache_operator.core.gate import waiting_pods
from modelcache_operator.core.observed import Cache, Snapshot
from modelcache_operator.core.proof import job_pods_stale
from modelcache_operator.core.reconcile import Decision, reconcile
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import ApiError, Conflict, Missing, OldDefinition, Refused, Unavailable
from modelcache_operator.kube.gates import Gates
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.lists import look_at_claim
from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.writer import Writer

log = logging.getLogger(__name__)

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
        self._gates = Gates(api, mirror, self._clock, counters.count_gate)
        self._may_write = may_write
        self._claim_check_s = claim_check_s
        self._timing = timing
        self._backoff = Backoff(timing.first_retry_s, timing.longest_retry_s)
        self._counters = counters

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
        except Conflict as error:
            log.debug("deciding again: %s", error)
            self._queue.add_later(key, min(5.0, self._backoff.failed(key) / 4))
        except ApiError as error:
            self._failed(key, error, error.retry_after_s if isinstance(error, Unavailable) else 0.0)
        except OldDefinition:
            raise
        except Exception as error:  # a bug must cost one cache a delay, not all of them the operator
            log.exception("reconciling failed", extra={"fields": {"namespace": key.namespace, "cache": key.name}})
            self._failed(key, error, 0.0)
        else:
            self._backoff.succeeded(key)

    def _failed(self, key: Key, error: Exception, at_least_s: float) -> None:
        self._counters.errors.inc()
        delay = max(at_least_s, self._backoff.failed(key))
        if isinstance(error, Unavailable):
            delay = max(at_least_s, min(delay, self._timing.outage_retry_s))
        fields = {"namespace": key.namespace, "cache": key.name, "retry_s": round(delay, 1)}
        log.warning("%s", error, extra={"fields": fields})
        self._queue.add_later(key, delay)

    async def handle(self, key: Key) -> None:
        """One look at one cache."""
        self._counters.reconciles.inc()
        await self._look_at_claim(key)
        snapshot = self._mirror.snapshot(key)
        if snapshot is None:
            self._counters.remove_cache(key)
            await self._orphans(key)
            return
        self._counters.add_cache(key)
        snapshot, decision = await self._decide(key, await self._refresh_pods(key, snapshot))
        refusal = await self._prepare(snapshot, decision)
        if refusal:
            again = await self._refresh_pods(key, self._mirror.snapshot(key) or snapshot)
            decision = reconcile(again, self._clock(), act=False)
        cache = await self._write_status(key, snapshot.cache, decision)
        if decision.notify_waiting:
            await self._gates.tell_waiting(cache, decision.notify_waiting, decision.status)
        if decision.remove_gates and not refusal:
            await self._remove_gates(key, cache, decision)
        if (decision.create_claim or decision.create_job) and not refusal:
            self._queue.add(key)  # a Job is made for a claim that exists; and its name may be that of a foreign one
        self._plan_ahead(key, decision)
        if refusal:
            raise refusal

    async def _remove_gates(self, key: Key, cache: Cache, decision: Decision) -> None:
        refused = await self._gates.remove(cache, decision.remove_gates)
        if self._mirror.refuse(key, gate=refused):
            self._queue.add(key)  # the status has yet to say so
        if refused:
            self._queue.add_later(key, self._backoff.failed((key, "gate")))
        else:
            self._backoff.succeeded((key, "gate"))

    async def _look_at_claim(self, key: Key) -> None:
        """Ask for the claim unless it is known to be bound; the regular lists keep an eye on those that are."""
        cache = self._mirror.caches.get(key)
        if cache is None or not cache.volume.claim:
            return
        claim = Key(key.namespace, cache.volume.claim)
        known = self._mirror.claims.get(claim)
        if known is None or not known.bound:
            self._queue.add_all(set(await look_at_claim(self._api, self._mirror, claim)) - {key})

    async def _decide(self, key: Key, snapshot: Snapshot) -> tuple[Snapshot, Decision]:
        """Decide, and again with the claim as it is now if the cache would become complete: its proof is about one."""
        decision = reconcile(snapshot, self._clock())
        if not decision.status.complete or snapshot.cache.status.complete:
            return snapshot, decision
        claim = Key(key.namespace, snapshot.cache.volume.claim)
        self._queue.add_all(set(await look_at_claim(self._api, self._mirror, claim)) - {key})
        snapshot = self._mirror.snapshot(key) or snapshot
        return snapshot, reconcile(snapshot, self._clock())

    async def _refresh_pods(self, key: Key, snapshot: Snapshot) -> Snapshot:
        """Ask for the pods where a Job's end is known and theirs is not: it may have been about another manifest."""
        if not job_pods_stale(snapshot):
            return snapshot
        async for page in self._api.pages(kube.PODS, key.namespace, f"{names.CACHE_LABEL}={key.name}"):
            for raw in page["items"]:
                self._mirror.upsert_pod(raw)
        return self._mirror.snapshot(key) or snapshot

    async def _prepare(self, snapshot: Snapshot, decision: Decision) -> Refused | None:
        """Make what the decision asks for; a refusal is remembered for the status, and tried again later."""
        key = Key(snapshot.cache.namespace, snapshot.cache.name)
        try:
            await self._writer.prepare(snapshot.cache, decision)
        except Refused as error:
            self._mirror.refuse(key, reason=error.reason, object=str(error))
            return error
        if self._mirror.refuse(key, reason="", object=""):
            self._queue.add(key)  # the status of this round still speaks of the refusal
        return None

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
        return written

    def _plan_ahead(self, key: Key, decision: Decision) -> None:
        if decision.wake_at is not None:
            self._queue.add_later(key, decision.wake_at - self._clock() + 0.05)
        volume = decision.status.condition("VolumeReady")
        if volume and volume.status != "True":
            self._queue.add_later(key, self._claim_check_s)

    async def _orphans(self, key: Key) -> None:
        """Gated pods of a cache that does not exist."""
        for pod in waiting_pods(self._mirror.pods.get(key, {}).values()):
            age = self._clock() - pod.created_at
            if age < self._timing.orphan_grace_s:
                self._queue.add_later(key, self._timing.orphan_grace_s - age)
            else:
                await self._gates.tell_orphan(pod)
