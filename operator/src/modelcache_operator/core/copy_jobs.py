"""Which copies are synced next.

- The first copy alone: while none is proven, and while a resync is due, there is one Job at a time. It goes to the node
  that failed least; after failures the next one waits, wherever it is.
- Then at most ``maxParallel`` at once. These get the pins of the first by ``--pins``, so that all hold the same, and
  with ``spec.peers`` they wait for the first to be served, for a minute.
- Each node has delays of its own: 10 s, 20 s, ... up to 10 minutes after failures, a minute before a repair.
- A Job whose node is not available, or on which the scheduler cannot place it, is left and holds up no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelcache_operator.core import names, timestamps
from modelcache_operator.core.copies import Copies, Copy
from modelcache_operator.core.job_plan import REPAIR_INTERVAL_S, JobPlan, JobRequest, retry_delay_s
from modelcache_operator.core.observed import Job, Snapshot
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.peers import serving_pod
from modelcache_operator.core.spec import PerNodeSpec
from modelcache_operator.core.status import SyncRecord

PEER_WAIT_S = 60.0
"""The hub gives everything once more to copies that begin before the first one is served."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Who may be next, in this order, and how many of them; or when to look again."""

    candidates: tuple[Copy, ...] = ()
    slots: int = 1
    resync: str = ""
    not_before: float = 0.0


def plan_copy_jobs(
    snapshot: Snapshot, objects: OwnedObjects, copies: Copies, group: PerNodeSpec, usable: bool, now: float
) -> tuple[JobPlan, tuple[JobRequest, ...]]:
    """The plan is that of the cache, with the first of the Jobs. ``usable``: manifest and volume allow a sync now."""
    record, cache = replace(copies.record, next_attempt_at=""), snapshot.cache
    claim_goes = bool(snapshot.claim and snapshot.claim.deleting)
    unwanted = (*objects.jobs, *objects.superseded) if claim_goes else (*copies.unwanted, *_unfinished(objects))
    delete = tuple(job.name for job in unwanted if not job.deleting)
    if not usable or cache.deleting or snapshot.nodes.problem:
        return JobPlan(record, None, delete, copies.wake_at), ()
    turn = _turn(snapshot, copies, group)
    due = [(max(_due(copy), turn.not_before), copy) for copy in turn.candidates]
    ready = [copy for at, copy in due if at <= now][: turn.slots]
    later = [at for at, _ in due if at > now] if turn.slots > 0 else []
    if later and not ready and not any(copy.job for copy in copies.each):
        record = replace(record, next_attempt_at=timestamps.stamp(min(later)))
    attempt = max([record.attempt, *(job.attempt for job in (*objects.jobs, *objects.superseded))])
    requests = tuple(_request(snapshot, copies, turn, copy, attempt + n) for n, copy in enumerate(ready, start=1))
    if requests:
        record = replace(record, attempt=requests[-1].attempt, job=requests[-1].name)
    wake_at = min((at for at in (copies.wake_at, *later) if at), default=None)
    return JobPlan(record, requests[0] if requests else None, delete, wake_at), requests


def served_node(copies: Copies) -> str:
    """Where the first of the copies that are proven lies; empty: there is none, and none is served."""
    first = min(
        (copy for copy in copies.each if copy.current), key=lambda copy: (copy.record.at, copy.node.name), default=None
    )
    return first.node.name if first else ""


def _unfinished(objects: OwnedObjects) -> Iterator[Job]:
    return (job for job in objects.superseded if not job.outcome)


def _turn(snapshot: Snapshot, copies: Copies, group: PerNodeSpec) -> _Turn:
    record, cache = copies.record, snapshot.cache
    active = [copy for copy in copies.each if copy.job and copy.available and not copy.blocked]
    idle = [copy for copy in copies.each if copy.job is None and copy.available]
    current = [copy for copy in copies.each if copy.current]
    free = max(0, group.max_parallel - len(active))  # nodes come back with their Jobs, and the limit may be lowered
    if cache.resync and cache.resync != record.resync:
        leading = any(copy.job and copy.job.resync == cache.resync for copy in active)
        if leading or (not current and active):
            return _Turn()
        proven = [copy for copy in idle if copy.current]
        order = sorted(proven or idle, key=lambda copy: (copy.record.at, copy.record.failures, copy.node.name))
        return _Turn(tuple(order), min(1, free), cache.resync)
    order = sorted((copy for copy in idle if not copy.current), key=_by_failures)
    if current:
        return _Turn(tuple(order), free, record.resync, _peer_wait(snapshot, copies))
    finished = timestamps.parse(record.finished_at) or 0.0
    not_before = finished + retry_delay_s(record.failures) if record.failures else 0.0
    return _Turn(tuple(order), 0 if active else 1, "", not_before)


def _by_failures(copy: Copy) -> tuple[int, str]:
    return copy.record.failures, copy.node.name


def _due(copy: Copy) -> float:
    known = copy.record
    if known.failures:
        return known.at + retry_delay_s(known.failures)
    return known.at + REPAIR_INTERVAL_S if known.attempt and not known.proven and known.at else 0.0


def _peer_wait(snapshot: Snapshot, copies: Copies) -> float:
    if snapshot.cache.peers is None or snapshot.forbidden or snapshot.refusals.peers or serving_pod(snapshot):
        return 0.0
    return (timestamps.parse(copies.record.proven_at) or 0.0) + PEER_WAIT_S


def _request(snapshot: Snapshot, copies: Copies, turn: _Turn, copy: Copy, attempt: int) -> JobRequest:
    cache, record, node = snapshot.cache, copies.record, copy.node
    leads = turn.resync and turn.resync != record.resync
    return JobRequest(
        names.copy_job_name(cache.name, node.uid, attempt),
        attempt,
        turn.resync if leads or copy.record.proven else "",
        record.claim_uid,
        node=node.name,
        node_uid=node.uid,
        pins="" if leads else pins(copies.record),
    )


def pins(record: SyncRecord) -> str:
    """As a report of the first copy has them; a model of which not both are known is looked up at the hub."""
    pinned = [
        {"name": name, "commit": commit, "digest": record.digests[name]}
        for name, commit in sorted(record.commits.items())
        if name in record.digests
    ]
    return json.dumps({"models": pinned}, separators=(",", ":")) if pinned else ""
