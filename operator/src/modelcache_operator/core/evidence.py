"""What proves that a generation is on the volume, and what speaks against it.

- A sync Job of this generation that the Job controller calls Complete is a proof: its container ended with exit code 0,
  which init-sync gives only for a volume that it verified. A report that names another manifest spoils it: then the pod
  had mounted an older ConfigMap.
- A pod of the user's can say anything, so its word counts less. That the volume is damaged is believed (a sync Job will
  tell); that it is complete is believed only with the digest of this very manifest, and, as long as sync Jobs are
  enabled, only to take back an earlier complaint, never as the first proof.
- What is later counts. Pods that are being deleted, or that do not mount the claim, are not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from init_sync.core.reasons import Reason
from modelcache_operator.core import moments
from modelcache_operator.core.facts import JobFacts, PodFacts, Run, RunState, Snapshot
from modelcache_operator.core.status import SyncRecord


@dataclass(frozen=True, slots=True)
class Parties:
    """The Jobs and pods of a snapshot, sorted by what they are for the present generation."""

    jobs: tuple[JobFacts, ...]
    """Of this generation, by attempt."""
    superseded: tuple[JobFacts, ...]
    """Of other generations of this object."""
    job_pods: tuple[PodFacts, ...]
    """Of the newest Job, by age."""
    workloads: tuple[PodFacts, ...]
    """The user's, that mount the claim."""
    strangers: tuple[PodFacts, ...]
    """The user's, with the cache's label, that do not mount the claim: what they do says nothing about it."""

    @property
    def latest(self) -> JobFacts | None:
        return self.jobs[-1] if self.jobs else None


def sort_parties(snapshot: Snapshot) -> Parties:
    cache = snapshot.cache
    ours = [job for job in snapshot.jobs if job.owner_uid == cache.uid]
    jobs = sorted((job for job in ours if job.generation == cache.generation), key=lambda job: job.attempt)
    all_jobs = {job.uid for job in snapshot.jobs}
    newest = jobs[-1].uid if jobs else ""
    job_pods = sorted((pod for pod in snapshot.pods if pod.owner_uid == newest != ""), key=lambda pod: pod.created_at)
    users = [pod for pod in snapshot.pods if pod.owner_uid not in all_jobs and not pod.deleting]
    return Parties(
        jobs=tuple(jobs),
        superseded=tuple(job for job in ours if job not in jobs),
        job_pods=tuple(job_pods),
        workloads=tuple(pod for pod in users if cache.volume.claim in pod.claims),
        strangers=tuple(pod for pod in users if cache.volume.claim not in pod.claims),
    )


def update_record(snapshot: Snapshot, parties: Parties) -> SyncRecord:
    """The stored record, brought up to date with what can be seen now."""
    cache, stored = snapshot.cache, snapshot.cache.status.sync
    record = stored
    if stored.generation != cache.generation:
        record = SyncRecord(generation=cache.generation, resync=stored.resync)
    latest = parties.latest
    if latest and latest.attempt >= record.attempt:
        record = replace(record, attempt=latest.attempt, job=latest.name)
        if latest.outcome and latest.attempt > record.settled:
            record = _settle(record, latest, parties, cache.digest)
    return _hear_workloads(record, snapshot, parties)


def is_unheard(snapshot: Snapshot) -> bool:
    """Whether a Job has ended and what its pod said of it has not been seen: two watches keep no order."""
    parties, stored = sort_parties(snapshot), snapshot.cache.status.sync
    latest = parties.latest
    settled = stored.settled if stored.generation == snapshot.cache.generation else 0
    if latest is None or not latest.outcome or latest.attempt <= settled:
        return False
    runs = [run for pod in parties.job_pods for run in pod.runs]
    return not any(run.exit_code == 0 or latest.outcome != "Complete" for run in runs)


def _settle(record: SyncRecord, job: JobFacts, parties: Parties, digest: str) -> SyncRecord:
    """Take the end of a Job into account, once."""
    finished = moments.stamp(job.finished_at or job.created_at)
    record = replace(record, settled=job.attempt, finished_at=finished, resync=job.resync or record.resync)
    last = _deciding_run(job, parties.job_pods)
    report = last.observation if last else None
    of_other_manifest = last is not None and not names_no_other(last, digest)
    if job.outcome == "Complete" and not of_other_manifest:
        return replace(record, failures=0, proven_at=finished, next_attempt_at="")
    record = replace(record, failures=record.failures + 1)
    if report is not None and report.complete and not of_other_manifest:
        return record  # nothing was lost: it failed to do more, such as looking up a branch again
    return replace(record, broken_at=finished)


def _deciding_run(job: JobFacts, pods: tuple[PodFacts, ...]) -> Run | None:
    """The run that made the Job end as it did. Another may have ended in the same second: times have no fractions."""
    runs = [run for pod in pods for run in pod.runs]
    fitting = [run for run in runs if (run.exit_code == 0) == (job.outcome == "Complete")]
    return max(fitting or runs, key=lambda run: run.finished_at, default=None)


def _hear_workloads(record: SyncRecord, snapshot: Snapshot, parties: Parties) -> SyncRecord:
    cache = snapshot.cache
    since = moments.parse(record.proven_at) or 0.0
    complaints = [run.finished_at for run in complaints_of(parties, cache.digest) if run.finished_at > since]
    if complaints and record.proven_at:
        record = replace(record, broken_at=max(record.broken_at, moments.stamp(max(complaints))))
    may_prove = not cache.job.enabled or bool(record.proven_at)
    praises = [run.finished_at for pod in parties.workloads for run in pod.runs if _praises(run, cache.digest)]
    if praises and may_prove and max(praises) > since and moments.stamp(max(praises)) >= record.broken_at:
        record = replace(record, proven_at=moments.stamp(max(praises)))
    return record


def _praises(run: Run, digest: str) -> bool:
    report = run.observation
    return run.exit_code == 0 and report is not None and report.complete and report.manifest == digest


def heard(parties: Parties, digest: str) -> tuple[PodFacts, ...]:
    """Pods of the user's, less the runs that name another manifest: they say nothing about this one."""
    return tuple(
        replace(pod, runs=tuple(run for run in pod.runs if names_no_other(run, digest))) for pod in parties.workloads
    )


def names_no_other(run: Run, digest: str) -> bool:
    return run.observation is None or run.observation.manifest in ("", digest)


def complaints_of(parties: Parties, digest: str) -> Iterator[Run]:
    """Runs in pods of the user's that found the volume incomplete."""
    for pod in heard(parties, digest):
        for run in pod.runs:
            report = run.observation
            if run.exit_code == 0 or report is None:
                continue
            if any(model.reason not in (None, Reason.WAITING_FOR_LOCK) for model in report.incomplete()):
                yield run


def is_proven(record: SyncRecord) -> bool:
    """Complete as far as is known. Equal moments count for the proof: a sync ends by verifying."""
    return bool(record.proven_at) and record.proven_at >= record.broken_at


def running_pods(parties: Parties, jobs_enabled: bool) -> tuple[PodFacts, ...]:
    """Pods whose sync container runs now and is about this generation."""
    pods = parties.job_pods if jobs_enabled else parties.workloads
    return tuple(pod for pod in pods if pod.state is RunState.RUNNING and not pod.deleting)
