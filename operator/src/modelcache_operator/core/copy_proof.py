"""What is proven of the copy on each node, and why the others are not complete.

- A copy is proven by the Job of its node, for the node's uid, the claim's uid, the volume's id and the content; what a
  Job proves is in ``proof``. Claim and content are those of the record, which begins again when either is exchanged.
- The first copy that is proven sets the time from which the others must be: a resync moves it, and then all of them.
  A Job that was created later than that proves a later copy, whatever the clock of its node says.
- A pod of the user's on the node that finds damage, or another volume, takes the proof from that copy alone.
- A copy stays failed until it is proven, while it is retried too. One whose sync cannot start is failed meanwhile: its
  Job is refused, or no pod of it has started for two minutes. Nobody knows when that ends, so nothing waits for it.
- A node on which no pod can start is unavailable, unless its copy is proven.
- One volume on two nodes means that the claim is not what it should be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from modelcache_operator.core import copy_messages, copy_record, messages, timestamps
from modelcache_operator.core.copies import Copies, Copy, CopyState, same_volume
from modelcache_operator.core.copy_record import NOTHING, CopyRecord
from modelcache_operator.core.damage import damage_reports
from modelcache_operator.core.messages import Message
from modelcache_operator.core.nodes import Node, has_copy, is_available
from modelcache_operator.core.observed import Job, Snapshot
from modelcache_operator.core.observed_pods import Pod, RunState
from modelcache_operator.core.owned_objects import OwnedObjects, as_finished
from modelcache_operator.core.proof import current_record, record_outcome
from modelcache_operator.core.spec import PerNodeSpec
from modelcache_operator.core.status import CopyStatus, SyncRecord

NOT_STARTED_S = 120.0
"""A Job without a pod, or a pod without a node, gets so long, and then the pod's container on its node."""
SETTLE_S = 5.0
"""A Job that ended waits so long for what its pod said, which another watch tells."""


@dataclass(slots=True)
class _Look:
    """One look at the copies: what it is about, and what it has found so far."""

    snapshot: Snapshot
    group: PerNodeSpec
    now: float
    record: SyncRecord
    records: dict[str, CopyRecord] = field(default_factory=dict)
    jobs: dict[str, list[Job]] = field(default_factory=lambda: defaultdict(list))
    job_pods: dict[str, list[Pod]] = field(default_factory=lambda: defaultdict(list))
    users: dict[str, list[Pod]] = field(default_factory=lambda: defaultdict(list))
    said: dict[str, Message] = field(default_factory=dict)
    before: dict[str, CopyStatus] = field(default_factory=dict)
    """What the status said of copies that were not complete."""
    stalled: Message | None = None
    wake_at: float | None = None

    @property
    def since(self) -> float:
        return timestamps.parse(self.record.proven_at) or 0.0

    def is_past(self, until: float) -> bool:
        """If not, this is to be looked at again then."""
        if self.now >= until:
            return True
        self.wake_at = min(self.wake_at or until, until)
        return False


def look_at_copies(snapshot: Snapshot, objects: OwnedObjects, group: PerNodeSpec, now: float) -> Copies:
    """While the nodes are not known, nothing is, and nothing is forgotten."""
    record = _with_newest_job(current_record(snapshot), objects)
    if snapshot.nodes.problem:
        return Copies(record)
    look = _Look(snapshot, group, now, record)
    look.before = {each.node: each for each in snapshot.cache.status.copies}
    unwanted = _sort(look, objects)
    _read_records(look)
    for _, node, job in sorted(_ended(look), key=lambda each: (each[0], each[2].attempt)):
        _settle(look, node, job)
    _take_damage(look)
    look.stalled = _stalled(look)
    each = tuple(_copy(look, node) for _, node in sorted(snapshot.nodes.known.items()) if has_copy(node, group))
    kept = {name: found.text() for name, found in look.records.items() if found is not NOTHING}
    record = replace(look.record, copies=kept)
    return Copies(record, each, unwanted, same_volume(each), look.wake_at)


def _with_newest_job(record: SyncRecord, objects: OwnedObjects) -> SyncRecord:
    latest = objects.latest
    return (
        replace(record, attempt=latest.attempt, job=latest.name)
        if latest and latest.attempt >= record.attempt
        else record
    )


def _sort(look: _Look, objects: OwnedObjects) -> tuple[Job, ...]:
    """Jobs and pods by the node that they are for; returns the Jobs that are of no use."""
    for pod in look.snapshot.pods:
        if pod.owner_uid:
            look.job_pods[pod.owner_uid].append(pod)
    for pod in (*objects.workloads, *objects.scrub_pods):
        if pod.node:
            look.users[pod.node].append(pod)
    unwanted = []
    for found in objects.jobs:
        job = found if found.outcome else as_finished(found, look.job_pods.get(found.uid, ()))
        node = look.snapshot.nodes.known.get(job.node)
        ours = node is not None and node.uid == job.node_uid
        if ours:
            look.jobs[job.node].append(job)
        if job.kept_by or (not job.outcome and not (ours and node and has_copy(node, look.group))):
            unwanted.append(job)
    return tuple(unwanted)


def _read_records(look: _Look) -> None:
    cache = look.snapshot.cache
    changed = cache.status.observed_generation != cache.generation
    for name, node in look.snapshot.nodes.known.items():
        if text := look.record.copies.get(name):
            found = copy_record.read(text, node.uid)
            # what was changed may be the cure: no waiting
            look.records[name] = replace(found, failures=0, at=0) if changed and found.failures else found


def _ended(look: _Look) -> Iterator[tuple[float, Node, Job]]:
    """Jobs whose end was not taken into account yet."""
    for name, jobs in look.jobs.items():
        known = look.records.get(name, NOTHING)
        for job in jobs:
            if job.outcome and job.attempt > known.attempt and _has_spoken(look, job):
                yield job.finished_at or job.created_at, look.snapshot.nodes.known[name], job


def _has_spoken(look: _Look, job: Job) -> bool:
    runs = [run for pod in look.job_pods.get(job.uid, ()) for run in pod.runs]
    if any(job.outcome == "Failed" or run.exit_code == 0 for run in runs):
        return True
    return look.is_past((job.finished_at or job.created_at) + SETTLE_S)


def _settle(look: _Look, node: Node, job: Job) -> None:
    """Take the end of a Job into account, once."""
    before, record = look.records.get(node.name, NOTHING), look.record
    owned = OwnedObjects((job,), (), tuple(look.job_pods.get(job.uid, ())), (), ())
    blank = SyncRecord(claim_uid=record.claim_uid, manifest=record.manifest)
    found = record_outcome(blank, job, owned)
    at = timestamps.parse(found.finished_at) or 0.0
    resyncs = job.resync == look.snapshot.cache.resync != record.resync
    settled = max(record.settled_attempt, job.attempt)
    record = replace(
        record,
        settled_attempt=settled,
        finished_at=found.finished_at,
        failures=record.failures + 1 if found.failures else 0,
        resync=job.resync if resyncs else record.resync,
    )
    if found.failures:
        look.record = record
        look.records[node.name] = copy_record.failed(node.uid, job.attempt, at, before.failures + 1)
        return
    leads = resyncs or not record.proven_at
    if leads:
        record = replace(record, proven_at=found.proven_at, digests=found.digests, commits=found.commits)
    look.record = record
    at = max(at, look.since) if leads or job.created_at >= look.since else at
    look.records[node.name] = copy_record.proven(node.uid, found.volume_id, job.attempt, at)


def _take_damage(look: _Look) -> None:
    """What pods of the user's say against the copy on their node."""
    for name, pods in look.users.items():
        known = look.records.get(name, NOTHING)
        if not known.proven:
            continue
        owned = OwnedObjects((), (), (), tuple(pods), ())
        found = [each for each in damage_reports(look.snapshot, owned, known.volume_id) if each.at > known.at]
        report = max(found, key=lambda each: each.at, default=None)
        if report is None:
            continue
        look.records[name] = replace(known, volume="")
        cache = look.snapshot.cache
        if report.other_volume:
            text = messages.other_volume(report.pod, cache.volume.claim)
            look.said[name] = Message("VolumeReplaced", text)
        elif named := messages.incompleteness(report.report, cache):
            look.said[name] = Message(named.reason, f"{named.text} (found by pod {report.pod})")


def _copy(look: _Look, node: Node) -> Copy:
    known = look.records.get(node.name, NOTHING)
    current = known.proven and known.at >= look.since
    available = is_available(node, look.group)
    job = next((job for job in reversed(look.jobs.get(node.name, ())) if not job.outcome), None)
    pods = look.job_pods.get(job.uid, ()) if job else ()
    held_up = job is not None and _is_held_up(look, job, pods)
    blocked = bool(pods) and (held_up or any(pod.unschedulable for pod in pods))
    copy = Copy(node, CopyState.COMPLETE, known, current, available, job, blocked)
    if current and not (job and job.resync and not (blocked or held_up)):
        return copy
    state = CopyState.MISSING
    if not available:
        state = CopyState.UNAVAILABLE
    elif known.failures or held_up:
        state = CopyState.FAILED
    elif job:
        state = CopyState.SYNCING
    elif look.stalled:
        state = CopyState.FAILED
    return replace(copy, state=state, said=_said(look, replace(copy, state=state), pods, held_up))


def _is_held_up(look: _Look, job: Job, pods: Collection[Pod]) -> bool:
    """Whether it has waited too long for a pod, a node or the start of its container."""
    waiting = [pod for pod in pods if pod.state is RunState.WAITING and not pod.deleting]
    since = [pod.placed_at or pod.created_at for pod in waiting] if pods else [job.created_at]
    return bool(since) and look.is_past(min(since) + NOT_STARTED_S)


def _said(look: _Look, copy: Copy, pods: Collection[Pod], held_up: bool) -> Message:
    """Why a copy is not complete: what is seen now, else what was said before."""
    if copy.state is CopyState.UNAVAILABLE:
        return copy_messages.unavailable(copy.node)
    trouble = next(filter(None, (messages.trouble(pod) for pod in pods)), None)
    if trouble is None and held_up and copy.job:
        trouble = copy_messages.not_started(copy.job, pods)
    found = trouble or look.said.get(copy.node.name) or _failure(look, copy)
    if found is None and copy.state is CopyState.FAILED and not copy.job and not copy.record.failures:
        found = look.stalled
    if found:
        return found
    return copy_messages.remembered(look.before.get(copy.node.name))


def _stalled(look: _Look) -> Message | None:
    """Why no further Job starts, for nobody knows how long: it is refused, or those that are there get no pod."""
    if refused := look.snapshot.refusals.object:
        return Message(look.snapshot.refusals.reason, refused)
    jobs = [job for jobs in look.jobs.values() for job in jobs if not job.outcome]
    if any(pod.state is RunState.RUNNING for job in jobs for pod in look.job_pods.get(job.uid, ())):
        return None
    without = (job for job in jobs if job.uid not in look.job_pods and _is_held_up(look, job, ()))
    return next((copy_messages.not_started(job, ()) for job in without), None)


def _failure(look: _Look, copy: Copy) -> Message | None:
    """What the last Job of a copy that failed said."""
    ended = [job for job in look.jobs.get(copy.node.name, ()) if job.outcome == "Failed"]
    if copy.state is not CopyState.FAILED or not ended:
        return None
    return copy_messages.failed(ended[-1], look.job_pods.get(ended[-1].uid, ()), look.snapshot.cache)
