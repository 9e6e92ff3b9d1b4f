"""What the rules of the phase look at, and what can be said of it: obstacles, damage and failures."""

from __future__ import annotations

from dataclasses import dataclass

from modelcache_operator.core import messages
from modelcache_operator.core.claims import ClaimCheck
from modelcache_operator.core.copies import Copies
from modelcache_operator.core.damage import damage_reports
from modelcache_operator.core.job_plan import JobPlan
from modelcache_operator.core.messages import Message
from modelcache_operator.core.observed import Job, Snapshot
from modelcache_operator.core.observed_pods import Pod, Run
from modelcache_operator.core.owned_objects import OwnedObjects, relevant_pods, running_pods
from modelcache_operator.core.status import Phase, SyncRecord

NO_POD_S = 30.0
"""A Job without a pod for this long will hardly get one."""
NEXT_ATTEMPT = ". Next attempt at "
HINDERED = ". The next sync does not start: "
MOUNTED = ". It is in use by "
MAX_PODS = 5


@dataclass(frozen=True, slots=True)
class PhaseDecision:
    """``reason`` and ``message`` are those of the condition Complete."""

    phase: Phase
    reason: str
    message: str
    stalled: bool = False
    """Only a person can cure it."""
    more: str = ""
    """What is still done, though pods can start: copies on other nodes."""


@dataclass(frozen=True, slots=True)
class PhaseInputs:
    """What the rules look at."""

    snapshot: Snapshot
    objects: OwnedObjects
    volume: ClaimCheck
    plan: JobPlan
    problem: str
    """Why the manifest cannot be acted on; empty when it can."""
    now: float
    copies: Copies | None = None
    """None unless each node has a copy."""

    @property
    def record(self) -> SyncRecord:
        return self.plan.record

    @property
    def job(self) -> Job | None:
        """The newest Job, unless it has finished."""
        latest = self.objects.latest
        return latest if latest and not latest.outcome else None

    @property
    def pod(self) -> Pod | None:
        """The newest pod of the newest Job."""
        return max(self.objects.job_pods, key=lambda pod: pod.created_at, default=None)

    @property
    def was_syncing(self) -> bool:
        """The newest Job's, as the stored status has it; its pods may be gone since."""
        stored = self.snapshot.cache.status
        return stored.phase is Phase.SYNCING and stored.sync.job == self.record.job != "" and self.job is not None


def obstacle(inputs: PhaseInputs) -> Message | None:
    """What keeps the newest Job from running its sync container; None when nothing does, as far as can be seen."""
    job, pod = inputs.job, inputs.pod
    if job and job.suspended:
        return messages.suspended(job)
    if pod and pod.unschedulable and not inputs.volume.bound:
        return Message(inputs.volume.reason, f"{inputs.volume.message}. {messages.unschedulable(pod)}")
    if pod:
        return messages.trouble(pod)
    if job and inputs.now - job.created_at >= NO_POD_S:
        return messages.no_pod(job)
    return None


def damage(inputs: PhaseInputs) -> Message:
    cache = inputs.snapshot.cache
    reports = damage_reports(inputs.snapshot, inputs.objects, inputs.record.volume_id)
    report = max(reports, key=lambda each: each.at, default=None)
    if report and report.other_volume:
        return Message("VolumeReplaced", messages.other_volume(report.pod, cache.volume.claim))
    if report and (named := messages.incompleteness(report.report, cache)):
        return Message(named.reason, f"{named.text} (found by pod {report.pod})")
    if failure := last_failure(inputs.objects.job_pods):
        return messages.run_failure(*failure, cache)
    return _stored(inputs, Message("NotVerified", "the volume was found incomplete"))


def failure(inputs: PhaseInputs) -> Message:
    latest = inputs.objects.latest
    if latest and latest.outcome == "Complete":
        return Message("ManifestChanged", f"Job {latest.name} synced an older manifest; it is done again")
    if failure := last_failure(inputs.objects.job_pods):
        return messages.run_failure(*failure, inputs.snapshot.cache)
    if latest is None or inputs.snapshot.cache.status.sync.settled_attempt == inputs.record.settled_attempt:
        return _stored(inputs, Message("SyncFailed", "the last sync failed"))
    reason = latest.outcome_reason or "SyncFailed"
    return Message(reason, f"Job {latest.name} failed: {latest.outcome_message or reason}")


def _stored(inputs: PhaseInputs, default: Message) -> Message:
    """What was said about it before, now that the pods that said it are gone."""
    status, record = inputs.snapshot.cache.status, inputs.record
    found = status.condition("Complete")
    same = status.sync.is_about(record.claim_uid, record.manifest)
    if found and found.status != "True" and same and found.message:
        text = found.message.partition(NEXT_ATTEMPT)[0].partition(HINDERED)[0].partition(MOUNTED)[0]
        return Message(found.reason, text, status.is_true("Stalled"))
    return default


def in_use(inputs: PhaseInputs) -> str:
    """The pods that run on a damaged volume: what they have loaded may be wrong."""
    pods = sorted(pod.name for pod in inputs.objects.workloads if pod.node and pod.uses_volumes)
    more = f" and {len(pods) - MAX_PODS} more" if len(pods) > MAX_PODS else ""
    return f"{MOUNTED}{', '.join(pods[:MAX_PODS])}{more}" if pods else ""


def next_attempt(inputs: PhaseInputs) -> str:
    """When the next sync is due, or why one that is due does not start."""
    hindered = obstacle(inputs) if inputs.job else None
    due = inputs.record.next_attempt_at
    return HINDERED + hindered.text if hindered else f"{NEXT_ATTEMPT}{due}" if due else ""


def users_pods(inputs: PhaseInputs) -> tuple[Pod, ...]:
    return relevant_pods(inputs.objects, inputs.snapshot.cache.digest)


def is_fetching(inputs: PhaseInputs) -> bool:
    progress = inputs.snapshot.progress
    running = running_pods(inputs.objects, jobs_enabled=True)
    return any(pod.uid in progress and progress[pod.uid].observation.bytes_fetched > 0 for pod in running)


def last_failure(pods: tuple[Pod, ...]) -> tuple[Run, Pod] | None:
    """The newest run that failed, unless a later one succeeded."""
    runs = [(run, pod) for pod in pods for run in pod.runs]
    last = max(runs, key=lambda each: (each[0].finished_at, each[0].exit_code == 0, each[1].created_at), default=None)
    return last if last and last[0].exit_code != 0 else None
