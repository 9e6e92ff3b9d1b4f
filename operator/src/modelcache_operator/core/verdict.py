"""Phase, reason and message of a cache, from everything that was gathered about it.

Pending   nothing syncs yet: no volume, no pod, or a pod that cannot start
Syncing   a sync was started for this claim and content and has not ended; stays through retries of its pods
Ready     the content was proven complete on this claim, the claim is bound, and nothing speaks against it
Degraded  it was, and something does: damage, or the volume is gone; stays until it is repaired or replaced
Failed    the manifest is wrong, or a Job failed finally; stays until a later Job fetches something or succeeds
"""

from __future__ import annotations

from dataclasses import dataclass

from modelcache_operator.core import words
from modelcache_operator.core.attempts import JobPlan
from modelcache_operator.core.evidence import Parties, complaints_of, heard, is_proven, running_pods
from modelcache_operator.core.facts import JobFacts, PodFacts, Run, RunState, Snapshot
from modelcache_operator.core.gates import waiting_pods
from modelcache_operator.core.jobs import NEEDS_CHANGE
from modelcache_operator.core.status import Phase, SyncRecord
from modelcache_operator.core.volume import VolumeView


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome; ``reason`` is that of the condition Complete."""

    phase: Phase
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What a verdict looks at."""

    snapshot: Snapshot
    parties: Parties
    volume: VolumeView
    plan: JobPlan
    problem: str
    """Why the manifest cannot be acted on; empty when it can."""

    @property
    def record(self) -> SyncRecord:
        return self.plan.record

    @property
    def resyncing(self) -> JobFacts | None:
        latest = self.parties.latest
        return latest if latest and not latest.outcome and latest.resync else None


def judge(situation: Situation) -> Verdict:
    volume, record = situation.volume, situation.record
    if situation.problem:
        return Verdict(Phase.FAILED, "InvalidSpec", situation.problem)
    if record.proven_at and not volume.bound:
        return Verdict(Phase.DEGRADED, volume.reason, volume.message)
    if situation.snapshot.refused:
        return Verdict(Phase.FAILED, situation.snapshot.refused_reason, situation.snapshot.refused)
    if not volume.usable:
        return Verdict(Phase.PENDING, volume.reason, volume.message)
    if situation.resyncing or (situation.plan.create and situation.plan.create.resync):
        return _resyncing(situation)
    if is_proven(record):
        return _ready(situation)
    if record.proven_at:
        return _degraded(situation)
    return _first_sync(situation) if situation.snapshot.cache.job.enabled else _without_jobs(situation)


def _ready(situation: Situation) -> Verdict:
    count = len(situation.snapshot.cache.models)
    message = "the model is complete" if count == 1 else f"all {count} models are complete"
    return Verdict(Phase.READY, "AllModelsVerified", message)


def _resyncing(situation: Situation) -> Verdict:
    doing = "every byte is verified again, as the resync annotation asks; pods that start now wait"
    pod = _newest(situation.parties.job_pods)
    if pod and (found := words.trouble(pod)):
        return Verdict(Phase.SYNCING, found[0], f"{doing}. {found[1]}")
    return Verdict(Phase.SYNCING, "Resyncing", doing)


def _degraded(situation: Situation) -> Verdict:
    complaints = complaints_of(situation.snapshot, situation.parties, situation.record.volume_id)
    complaint = max(complaints, key=lambda each: each.at, default=None)
    if complaint and complaint.other_volume:
        reason = "VolumeReplaced"
        message = words.other_volume(complaint.pod, situation.snapshot.cache.volume.claim)
    elif complaint and (named := words.incompleteness(complaint.report)):
        reason, message = named[0], f"{named[1]} (found by pod {complaint.pod})"
    elif failure := _last_failure(situation.parties.job_pods):
        reason, message = words.run_failure(*failure)
    else:
        reason, message = _stored(situation, "NotVerified", "the volume was found incomplete")
    return Verdict(Phase.DEGRADED, reason, message + _next(situation))


def _first_sync(situation: Situation) -> Verdict:
    parties, record = situation.parties, situation.record
    pod = _newest(parties.job_pods)
    stored = situation.snapshot.cache.status
    was_syncing = stored.phase is Phase.SYNCING and stored.sync.job == record.job != ""
    if record.failures and not (_fetching(situation) or (was_syncing and _unfinished(parties))):
        return _failed(situation)
    started = pod is not None and (pod.state is RunState.RUNNING or _runs_of(parties.job_pods))
    if started or (was_syncing and _unfinished(parties)):
        return _syncing(situation, pod, parties.job_pods)
    if pod and (found := words.trouble(pod)):
        return Verdict(Phase.PENDING, found[0], found[1])
    if not situation.volume.bound and not pod:
        return Verdict(Phase.PENDING, situation.volume.reason, situation.volume.message)
    waiting = words.waiting(pod) if pod else f"Job {record.job} has no pod yet"
    return Verdict(Phase.PENDING, "PodStarting", waiting)


def _syncing(situation: Situation, pod: PodFacts | None, pods: tuple[PodFacts, ...]) -> Verdict:
    """The message says what went wrong last, if anything did, and that it is being retried."""
    if pod and (found := words.trouble(pod)):
        return Verdict(Phase.SYNCING, found[0], found[1])
    if failure := _last_failure(pods):
        reason, message = words.run_failure(*failure)
        return Verdict(Phase.SYNCING, reason, f"retrying: {message}")
    name = pod.name if pod else situation.record.job
    return Verdict(Phase.SYNCING, "Syncing", f"{name} syncs" if pod else f"{name} is starting another pod")


def _failed(situation: Situation) -> Verdict:
    parties = situation.parties
    latest = parties.latest
    if latest and latest.outcome == "Complete":
        reason, message = "ManifestChanged", f"Job {latest.name} synced an older manifest; it is done again"
    elif failure := _last_failure(parties.job_pods):
        reason, message = words.run_failure(*failure)
    elif latest is None or situation.snapshot.cache.status.sync.settled == situation.record.settled:
        reason, message = _stored(situation, "SyncFailed", "the last sync failed")
    else:
        reason = latest.outcome_reason or "SyncFailed"
        message = f"Job {latest.name} failed: {latest.outcome_message or reason}"
    return Verdict(Phase.FAILED, reason, message + _next(situation))


def _without_jobs(situation: Situation) -> Verdict:
    """Sync Jobs are switched off: the init containers of the user's pods do the work."""
    pods = heard(situation.parties, situation.snapshot.cache.digest)
    running = running_pods(situation.parties, jobs_enabled=False)
    failure = _last_failure(pods)
    if running or (failure and failure[0].exit_code != NEEDS_CHANGE):
        return _syncing(situation, running[0] if running else None, pods)
    if failure:
        return Verdict(Phase.FAILED, *words.run_failure(*failure))
    if named := next((pod for pod in pods if pod.runs), None):
        return Verdict(Phase.PENDING, "ManifestUnknown", words.unknown_manifest(named))
    for pod in pods:
        if found := words.trouble(pod):
            return Verdict(Phase.PENDING, found[0], found[1])
    return Verdict(Phase.PENDING, *_awaited(situation, pods))


def _awaited(situation: Situation, pods: tuple[PodFacts, ...]) -> tuple[str, str]:
    """Why no pod of the user's syncs: what keeps those that are there, unless one of them may still start to."""
    held = waiting_pods(pods)
    if not any(pod.state is RunState.WAITING and pod not in held for pod in pods):
        if strangers := situation.parties.strangers:
            return "ClaimNotMounted", words.claim_not_mounted(strangers, situation.snapshot.cache.volume.claim)
        if held:
            return "PodsGated", words.pods_gated(held)
    return "WaitingForPod", f"{words.WITHOUT_JOBS} and no pod has synced this manifest yet"


def _next(situation: Situation) -> str:
    due = situation.record.next_attempt_at
    return f". Next attempt at {due}" if due else ""


def _stored(situation: Situation, reason: str, message: str) -> tuple[str, str]:
    """What was said about it before, now that the pods that said it are gone."""
    status, record = situation.snapshot.cache.status, situation.record
    found = status.condition("Complete")
    same = status.sync.is_about(record.claim_uid, record.manifest)
    if found and found.status != "True" and same and found.message:
        said = found.message.partition(". Next attempt at ")[0]
        return found.reason, said
    return reason, message


def _unfinished(parties: Parties) -> bool:
    return parties.latest is not None and not parties.latest.outcome


def _fetching(situation: Situation) -> bool:
    progress = situation.snapshot.progress
    return any(
        pod.uid in progress and progress[pod.uid].observation.bytes_fetched > 0
        for pod in running_pods(situation.parties, jobs_enabled=True)
    )


def _newest(pods: tuple[PodFacts, ...]) -> PodFacts | None:
    return max(pods, key=lambda pod: pod.created_at, default=None)


def _runs_of(pods: tuple[PodFacts, ...]) -> bool:
    return any(pod.runs for pod in pods)


def _last_failure(pods: tuple[PodFacts, ...]) -> tuple[Run, PodFacts] | None:
    """The newest run that failed, unless a later one succeeded."""
    runs = [(run, pod) for pod in pods for run in pod.runs]
    last = max(runs, key=lambda each: (each[0].finished_at, each[0].exit_code == 0, each[1].created_at), default=None)
    return last if last and last[0].exit_code != 0 else None
