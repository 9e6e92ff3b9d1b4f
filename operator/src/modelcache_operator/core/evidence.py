"""What proves that a content is on a claim, and what speaks against it.

A proof belongs to one claim (its uid), one volume (the id on it) and one content (the digest of the manifest text). All
three can be exchanged under their names, so each is compared, and a record that is about another claim or content is
not used: the sequence of Jobs starts again, which costs milliseconds where the files are there.

- A sync Job of this object that was made for this claim and content and that the Job controller calls Complete is a
  proof: its container ended with exit code 0, which init-sync gives only for a volume that it verified. It is none if
  every successful run that can be seen names another manifest: the pod had mounted an older or a foreign ConfigMap.
- A Job that failed permanently proves the opposite, whatever its pods say. Owner references and labels are free text
  for everybody who may create pods, so a pod that names the Job need not be the Job's: its report is good for a message
  and for figures, and neither turns a failure into a success nor a success into a failure. A resync that only failed
  to reach the hub costs one more Job for this, which verifies the volume without the hub.
- A pod of the user's can say anything. That the volume is damaged, or another one than was proven, is believed (a sync
  Job will tell). That it is complete is believed only where sync Jobs are disabled, and only with the digest of this
  very manifest.
- What is later counts. Pods that are being deleted, or that do not mount the claim, are not asked, nor is what a pod
  did before the claim was created.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from init_sync.core.reasons import Reason
from modelcache_operator.core import moments
from modelcache_operator.core.facts import ClaimFacts, JobFacts, Observation, PodFacts, Run, RunState, Snapshot
from modelcache_operator.core.status import SyncRecord


@dataclass(frozen=True, slots=True)
class Parties:
    """The Jobs and pods of a snapshot, sorted by what they are for the present claim and content."""

    jobs: tuple[JobFacts, ...]
    """For this claim and content, by attempt."""
    superseded: tuple[JobFacts, ...]
    """Others of this object."""
    job_pods: tuple[PodFacts, ...]
    """Of the newest Job, by age."""
    workloads: tuple[PodFacts, ...]
    """The user's, that mount the claim."""
    strangers: tuple[PodFacts, ...]
    """The user's, with the cache's label, that do not mount the claim: what they do says nothing about it."""

    @property
    def latest(self) -> JobFacts | None:
        return self.jobs[-1] if self.jobs else None


@dataclass(frozen=True, slots=True)
class Complaint:
    """A pod of the user's that found the volume incomplete, or another volume than the one that was proven."""

    at: float
    pod: str
    report: Observation
    other_volume: bool


def sort_parties(snapshot: Snapshot) -> Parties:
    cache = snapshot.cache
    ours = [job for job in snapshot.jobs if job.owner_uid == cache.uid]
    jobs = sorted((job for job in ours if _is_current(job, snapshot)), key=lambda job: job.attempt)
    all_jobs = {job.uid for job in snapshot.jobs}
    newest = jobs[-1].uid if jobs else ""
    job_pods = sorted((pod for pod in snapshot.pods if pod.owner_uid == newest != ""), key=lambda pod: pod.created_at)
    users = [pod for pod in snapshot.pods if pod.owner_uid not in all_jobs and not pod.deleting]
    return Parties(
        jobs=tuple(jobs),
        superseded=tuple(job for job in ours if job not in jobs),
        job_pods=tuple(job_pods),
        workloads=tuple(_on_claim(pod, snapshot.claim) for pod in users if cache.volume.claim in pod.claims),
        strangers=tuple(pod for pod in users if cache.volume.claim not in pod.claims),
    )


def _is_current(job: JobFacts, snapshot: Snapshot) -> bool:
    """Whether a Job counts for the present claim and content.

    How Jobs run may have changed since it was made. That takes nothing from its proof, and a sync that runs goes on,
    but one that cannot start, or has failed, may do so for the very reason that the change removes.
    """
    if (job.claim_uid, job.manifest) != (snapshot.claim_uid, snapshot.cache.digest):
        return False
    if job.generation == snapshot.cache.generation or job.outcome == "Complete":
        return True
    return not job.outcome and any(pod.owner_uid == job.uid and pod.state is RunState.RUNNING for pod in snapshot.pods)


def _on_claim(pod: PodFacts, claim: ClaimFacts | None) -> PodFacts:
    """The pod, less what it did before the claim was created: it had mounted another one of the same name."""
    if claim is None or pod.created_at >= claim.created_at:
        return pod
    runs = tuple(run for run in pod.runs if run.started_at >= claim.created_at)
    earlier = pod.running_since is not None and pod.running_since < claim.created_at
    return replace(pod, runs=runs, state=RunState.FINISHED if earlier else pod.state)


def current_record(snapshot: Snapshot) -> SyncRecord:
    """The stored record if it is about the present claim and content, else a new one."""
    cache, stored = snapshot.cache, snapshot.cache.status.sync
    if not stored.is_about(snapshot.claim_uid, cache.digest):
        return SyncRecord(
            claim_uid=snapshot.claim_uid,
            manifest=cache.digest,
            attempt=stored.attempt,
            settled=stored.attempt,
            resync=stored.resync,
        )
    if cache.status.observed_generation != cache.generation:
        return replace(stored, failures=0, finished_at="")  # what was changed may be the cure: no waiting
    return stored


def update_record(snapshot: Snapshot, parties: Parties) -> SyncRecord:
    """The record, brought up to date with what can be seen now."""
    record = current_record(snapshot)
    latest = parties.latest
    if latest and latest.attempt >= record.attempt:
        record = replace(record, attempt=latest.attempt, job=latest.name)
        if latest.outcome and latest.attempt > record.settled:
            record = _settle(record, latest, parties)
    return _hear_workloads(record, snapshot, parties)


def is_unheard(snapshot: Snapshot) -> bool:
    """Whether a Job has ended and what its pod said of it has not been seen: two watches keep no order."""
    parties, settled = sort_parties(snapshot), current_record(snapshot).settled
    latest = parties.latest
    if latest is None or not latest.outcome or latest.attempt <= settled:
        return False
    if latest.outcome == "Complete":
        return not _runs_that_fit(parties, snapshot.cache.digest)
    return not any(pod.runs for pod in parties.job_pods)


def _settle(record: SyncRecord, job: JobFacts, parties: Parties) -> SyncRecord:
    """Take the end of a Job into account, once."""
    finished = moments.stamp(job.finished_at or job.created_at)
    record = replace(record, settled=job.attempt, finished_at=finished, resync=job.resync or record.resync)
    fitting = _runs_that_fit(parties, record.manifest)
    if job.outcome == "Complete" and (fitting or not _successes(parties)):
        return replace(record, failures=0, proven_at=finished, volume_id=_volume_of(fitting), next_attempt_at="")
    return replace(record, failures=record.failures + 1, broken_at=finished)


def _successes(parties: Parties) -> list[Run]:
    return [run for pod in parties.job_pods for run in pod.runs if run.exit_code == 0]


def _runs_that_fit(parties: Parties, digest: str) -> list[Run]:
    """Successful runs that may have completed the newest Job; a forged one beside them changes nothing."""
    return [run for run in _successes(parties) if names_no_other(run, digest)]


def _volume_of(runs: list[Run]) -> str:
    """Unknown if they disagree: one of them is forged."""
    ids = {run.observation.volume_id for run in runs if run.observation and run.observation.volume_id}
    return ids.pop() if len(ids) == 1 else ""


def _hear_workloads(record: SyncRecord, snapshot: Snapshot, parties: Parties) -> SyncRecord:
    since = moments.parse(record.proven_at) or 0.0
    complaints = [each.at for each in complaints_of(snapshot, parties, record.volume_id) if each.at > since]
    if complaints and record.proven_at:
        record = replace(record, broken_at=max(record.broken_at, moments.stamp(max(complaints))))
    praise = max(_praises(record, parties), key=lambda run: run.finished_at, default=None)
    if snapshot.cache.job.enabled or praise is None or praise.finished_at <= since:
        return record
    if moments.stamp(praise.finished_at) < record.broken_at:
        return record
    volume_id = praise.observation.volume_id if praise.observation else ""
    return replace(record, proven_at=moments.stamp(praise.finished_at), volume_id=volume_id)


def _praises(record: SyncRecord, parties: Parties) -> Iterator[Run]:
    """Runs in pods of the user's that found this content complete: the proof where there are no Jobs."""
    for run in (run for pod in parties.workloads for run in pod.runs):
        report = run.observation
        if run.exit_code == 0 and report and report.complete and report.manifest == record.manifest:
            yield run


def _names_other_volume(report: Observation, volume_id: str) -> bool:
    """Images of version 0.1.0 name none, nor does a volume that was never written to: that says nothing."""
    return bool(volume_id and report.volume_id) and report.volume_id != volume_id


def heard(parties: Parties, digest: str) -> tuple[PodFacts, ...]:
    """Pods of the user's, less the runs that name another manifest: they say nothing about this one."""
    return tuple(
        replace(pod, runs=tuple(run for run in pod.runs if names_no_other(run, digest))) for pod in parties.workloads
    )


def names_no_other(run: Run, digest: str) -> bool:
    return run.observation is None or run.observation.manifest in ("", digest)


def complaints_of(snapshot: Snapshot, parties: Parties, volume_id: str) -> Iterator[Complaint]:
    """What pods of the user's say against the volume that was proven."""
    digest = snapshot.cache.digest
    for pod in parties.workloads:
        for run in pod.runs:
            report = run.observation
            if report and (other := _names_other_volume(report, volume_id)):
                yield Complaint(run.finished_at, pod.name, report, other)
            elif report and run.exit_code != 0 and names_no_other(run, digest) and _names_damage(report):
                yield Complaint(run.finished_at, pod.name, report, other_volume=False)
        live = snapshot.progress.get(pod.uid) if pod.state is RunState.RUNNING else None
        if live and _names_other_volume(live.observation, volume_id):
            yield Complaint(live.at, pod.name, live.observation, other_volume=True)


def _names_damage(report: Observation) -> bool:
    return any(model.reason not in (None, Reason.WAITING_FOR_LOCK) for model in report.incomplete())


def is_proven(record: SyncRecord) -> bool:
    """Complete as far as is known. Equal moments count for the proof: a sync ends by verifying."""
    return bool(record.proven_at) and record.proven_at >= record.broken_at


def is_proven_on(record: SyncRecord, claim: ClaimFacts | None) -> bool:
    """Complete on this claim: it is the one that the record is about, and has its volume."""
    return claim is not None and claim.bound and claim.uid == record.claim_uid and is_proven(record)


def running_pods(parties: Parties, jobs_enabled: bool) -> tuple[PodFacts, ...]:
    """Pods whose sync container runs now and is about this content; none of a Job that is over, whatever names it."""
    if jobs_enabled and parties.latest and parties.latest.outcome:
        return ()
    pods = parties.job_pods if jobs_enabled else parties.workloads
    return tuple(pod for pod in pods if pod.state is RunState.RUNNING and not pod.deleting)
