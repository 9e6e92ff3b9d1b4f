"""When the next sync Job is made.

- There is one unfinished Job at most. Those that were made for another claim or content are deleted: their result would
  not count. Once the claim is being deleted all are, finished ones too: their pods would keep it from going. One whose
  sync container has ended, and which another container keeps from finishing, is deleted with it.
- A Job is wanted when this content was never proven complete on this claim, when something found it damaged since, or
  when the resync annotation has a value that was not acted on yet.
- After a Job that failed permanently the next one waits 10 s, 20 s, 40 s, ... up to 10 minutes; a repair waits 60 s
  after the Job before it at least, so that a pod that keeps reporting damage does not keep Jobs running all the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from init_sync.shell.backoff import doubled_s
from modelcache_operator.core import timestamps
from modelcache_operator.core.names import job_name
from modelcache_operator.core.observed import Cache, Job, Snapshot
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.proof import is_proven
from modelcache_operator.core.status import SyncRecord

FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 600.0
REPAIR_INTERVAL_S = 60.0


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A Job to make."""

    name: str
    attempt: int
    resync: str
    """Value of the annotation that it acts on; empty for a plain sync."""
    claim_uid: str
    peer: str = ""
    """Address of the cache's peer server, while its own pod answers; else empty."""
    node: str = ""
    """Where it must run, with a copy on every node; else empty."""
    node_uid: str = ""
    pins: str = ""
    """What the first copy was pinned to, for ``--pins``; empty for the first itself."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to do about Jobs."""

    record: SyncRecord
    create: JobRequest | None = None
    delete: tuple[str, ...] = ()
    wake_at: float | None = None
    """When to decide again."""


def retry_delay_s(failures: int) -> float:
    """Without chance: it is written into the status, and one Job has nobody to collide with."""
    return doubled_s(failures, FIRST_DELAY_S, LONGEST_DELAY_S) if failures else 0.0


def plan_jobs(snapshot: Snapshot, objects: OwnedObjects, record: SyncRecord, usable: bool, now: float) -> JobPlan:
    """``usable``: the manifest and the volume allow a sync now."""
    cache, latest = snapshot.cache, objects.latest
    delete = tuple(job.name for job in _unwanted(snapshot, objects) if not job.deleting)
    if latest and not latest.outcome:
        return JobPlan(replace(record, next_attempt_at=""), None, delete)
    wanted, resync = _wanted(cache, record)
    if not (wanted and usable and cache.job.enabled) or cache.deleting:
        return JobPlan(replace(record, next_attempt_at=""), None, delete)
    due = _due(record)
    if due > now:
        return JobPlan(replace(record, next_attempt_at=timestamps.stamp(due)), None, delete, wake_at=due)
    attempt = 1 + max([record.attempt, *(job.attempt for job in (*objects.jobs, *objects.superseded))])
    order = JobRequest(job_name(cache.name, attempt), attempt, resync, record.claim_uid)
    record = replace(record, attempt=attempt, job=order.name, next_attempt_at="")
    return JobPlan(record, order, delete)


def _unwanted(snapshot: Snapshot, objects: OwnedObjects) -> tuple[Job, ...]:
    if snapshot.claim and snapshot.claim.deleting:
        return (*objects.superseded, *objects.jobs)
    kept = tuple(job for job in objects.jobs if job.kept_by)
    return (*kept, *(job for job in objects.superseded if not job.outcome))


def _wanted(cache: Cache, record: SyncRecord) -> tuple[bool, str]:
    resync = cache.resync if cache.resync != record.resync else ""
    return bool(resync) or not is_proven(record), resync


def _due(record: SyncRecord) -> float:
    """Not before this moment; a Job that vanished before its end was seen is replaced at once."""
    finished = timestamps.parse(record.finished_at)
    if finished is None or record.settled_attempt < record.attempt:
        return 0.0
    if record.failures:
        return finished + retry_delay_s(record.failures)
    return finished + REPAIR_INTERVAL_S if record.broken_at > record.proven_at else 0.0
