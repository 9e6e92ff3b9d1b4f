"""What came of the Jobs of tasks that ended, taken into account once.

The Job's condition says whether a task was done. Figures come from its pods' reports, which anybody who may create pods
can forge: pods that disagree say nothing, and the Job is repeated. What a scrub says of damage is in ``damage``.
"""

from __future__ import annotations

from dataclasses import replace

from init_sync.core.errors import NeedsChange
from init_sync.shell.formatting import quantity
from modelcache_operator.core import messages, timestamps
from modelcache_operator.core.damage import names_damage
from modelcache_operator.core.messages import Message, Notice
from modelcache_operator.core.observed import Job, Snapshot
from modelcache_operator.core.observed_pods import Pod, Run, TaskReport
from modelcache_operator.core.owned_objects import sort_objects
from modelcache_operator.core.task_status import PruneStatus, ScrubStatus, SizeStatus, TaskRecord, UpdatesStatus
from modelcache_operator.core.tasks import Part, Task, TaskInputs, commits, newest_job, next_node
from modelcache_operator.core.volume_size import requested

NOT_STARTED_S = 600.0
"""A Job whose container has not started by then is deleted, and tried again later."""
Settled = tuple[Part, tuple[Notice, ...]]


def has_unsettled(snapshot: Snapshot) -> bool:
    """Whether a Job of a task has ended and its end was not taken into account: then all of its pods must be known."""
    status = snapshot.cache.status
    known = {
        part.job.about: part.job.settled_attempt
        for part in (status.size, status.prune, status.scrub, status.updates)
        if part
    }
    ended = (job for job in sort_objects(snapshot).tasks if job.outcome)
    return any(job.attempt > known.get(job.about, job.attempt) for job in ended)


def settle(inputs: TaskInputs, task: Task, part: Part) -> Settled:
    job = newest_job(inputs, task, part)
    if job is None or job.attempt <= part.job.settled_attempt:
        return part, ()
    pods = pods_of(inputs, job)
    part = replace(part, job=replace(part.job, attempt=max(part.job.attempt, job.attempt)))
    if not job.outcome:
        late = None if is_started(pods) or inputs.now < job.created_at + NOT_STARTED_S else not_started(job, pods)
        return _failed(inputs, task, part, job, late) if late else (part, ())
    ended = replace(inputs, now=max(job.finished_at or 0.0, job.created_at))
    failure = _failure(ended, task, job, pods)
    if failure:
        return _failed(ended, task, part, job, failure)
    record = TaskRecord(part.job.about, done=True, attempt=part.job.attempt, settled_attempt=job.attempt)
    return _done(ended, replace(part, job=record), job, pods)


def pods_of(inputs: TaskInputs, job: Job) -> tuple[Pod, ...]:
    return tuple(pod for pod in inputs.snapshot.pods if pod.owner_uid == job.uid)


def is_started(pods: tuple[Pod, ...]) -> bool:
    return any(pod.running_since or pod.runs for pod in pods)


def not_started(job: Job, pods: tuple[Pod, ...]) -> Message:
    said = next(filter(None, map(messages.trouble, pods)), None)
    if said is None and job.suspended:
        said = messages.suspended(job)
    return said or (messages.no_pod(job) if not pods else Message("PodStarting", f"pod {pods[0].name} does not start"))


def _runs(pods: tuple[Pod, ...]) -> list[tuple[Run, Pod]]:
    return sorted(((run, pod) for pod in pods for run in pod.runs), key=lambda each: each[0].finished_at)


def damaged(pods: tuple[Pod, ...]) -> Message | None:
    """What the pods of a scrub that failed found."""
    for run, pod in _runs(pods):
        if run.observation and names_damage(run, run.observation, of_scrub=True):
            named = next(model for model in run.observation.incomplete() if model.reason)
            return Message(
                str(named.reason), f"{named.name}: {named.message or 'is damaged'} (found by pod {pod.name})"
            )
    return None


def _failure(inputs: TaskInputs, task: Task, job: Job, pods: tuple[Pod, ...]) -> Message | None:
    """None for a task that was done; a scrub that found damage was."""
    if job.outcome != "Complete":
        return None if task is Task.SCRUB and damaged(pods) else _why(inputs, job, pods)
    report = task_report(pods)
    if task is Task.SIZE and not (report and report.bytes_total):
        return Message("TaskFailed", f"the pods of Job {job.name} do not say how large the models are")
    if task is Task.UPDATES and not (report and report.commits):
        return Message("TaskFailed", f"the pods of Job {job.name} do not say which commits the hub has")
    return None


def _why(inputs: TaskInputs, job: Job, pods: tuple[Pod, ...]) -> Message:
    failed = [(run, pod) for run, pod in _runs(pods) if run.exit_code]
    if not failed:
        reason = job.outcome_reason or "TaskFailed"
        return Message(reason, f"Job {job.name} failed: {job.outcome_message or reason}")
    run, pod = failed[-1]
    stalled = run.exit_code == NeedsChange.exit_code
    if run.observation and (named := messages.incompleteness(run.observation, inputs.cache)):
        return replace(named, stalled=stalled)
    if run.task and run.task.reason:
        return Message(str(run.task.reason), run.task.message, stalled)
    text = f"pod {pod.name} ended with exit code {run.exit_code} and left no report. See kubectl logs {pod.name}"
    return Message(run.reason if run.reason == "OOMKilled" else "TaskFailed", text, stalled)


def task_report(pods: tuple[Pod, ...]) -> TaskReport | None:
    """What the successful runs say, if they say the same."""
    said = [run.task for run, _ in _runs(pods) if run.exit_code == 0]
    return said[0] if said and all(each == said[0] for each in said) else None


def _failed(inputs: TaskInputs, task: Task, part: Part, job: Job, why: Message) -> Settled:
    """With a copy on every node, the next one is tried: one node that is in trouble holds up no other."""
    before = part.job
    record = replace(
        before,
        settled_attempt=job.attempt,
        failures=before.failures + 1,
        failed_at=timestamps.stamp(inputs.now),
        reason=why.reason,
        message=why.text,
        stalled=why.stalled,
    )
    part = replace(part, job=record)
    if inputs.copies and isinstance(part, ScrubStatus | PruneStatus):
        part = replace(part, node=job.node)
    news = before.reason != why.reason and task is not Task.SIZE  # of the size, the phase tells
    said = Notice("Warning", "TaskFailed", f"{task.value}: {why.reason}: {why.text}")
    return part, (said,) if news else ()


def _done(inputs: TaskInputs, part: Part, job: Job, pods: tuple[Pod, ...]) -> Settled:
    report, at = task_report(pods) or TaskReport(), timestamps.stamp(inputs.now)
    match part:
        case SizeStatus():
            return _size(inputs, replace(part, bytes=report.bytes_total, checked_at=at))
        case UpdatesStatus():
            return _updates(inputs, replace(part, checked_at=at), report)
        case ScrubStatus():
            return _scrubbed(
                inputs, replace(part, node=job.node), at, damaged(pods) if job.outcome == "Failed" else None
            )
        case PruneStatus():
            return _pruned(inputs, replace(part, node=job.node), at, report)
    raise AssertionError(part)


def _size(inputs: TaskInputs, part: SizeStatus) -> Settled:
    cache = inputs.cache
    size = requested(part.bytes, cache.volume.headroom or 0)
    text = f"the models need {quantity(part.bytes)}, so claim {cache.volume.claim} is to have {size}"
    news = Notice("Normal", "ClaimSized", text)
    return replace(part, requested=size, content=cache.content), (news,) if size != part.requested else ()


def _updates(inputs: TaskInputs, part: UpdatesStatus, report: TaskReport) -> Settled:
    known = commits(inputs)
    moved = {name: commit for name, commit in report.commits.items() if known.get(name, commit) != commit}
    whole = all(name in inputs.record.digests and name in inputs.record.commits for name in inputs.cache.models)
    found = replace(part, commits=moved, bytes=report.bytes_to_fetch if moved and whole else 0)
    news = Notice("Normal", "UpdateAvailable", update_text(inputs.cache.name, found))
    return found, (news,) if moved and moved != part.commits else ()


def update_text(name: str, part: UpdatesStatus) -> str:
    moved = ", ".join(f"{model} to {commit[:12]}" for model, commit in list(part.commits.items())[:5])
    more = f" and {len(part.commits) - 5} more" if len(part.commits) > 5 else ""
    cost = f"; {quantity(part.bytes)} to fetch" if part.bytes else ""
    take = f"kubectl annotate --overwrite modelcache {name} modelcache.dev/resync=$(date +%s)"
    return f"the hub has moved {moved}{more}{cost}. To take it: {take}"


def _scrubbed(inputs: TaskInputs, part: ScrubStatus, at: str, damage: Message | None) -> Settled:
    said = Notice("Warning", "DamageFound", f"{damage.reason}: {damage.text}") if damage else None
    part, end = finish_round(inputs, part, at)
    return part, tuple(filter(None, (said, *end)))


def finish_round(inputs: TaskInputs, part: ScrubStatus, at: str) -> tuple[ScrubStatus, tuple[Notice, ...]]:
    """If this was the last node, or there is one volume."""
    if inputs.copies and next_node(inputs.copies, part.node) is not None:
        return part, ()
    text = f"every file was read again between {part.started_at} and {at}"
    return replace(part, finished_at=at, node=""), (Notice("Normal", "ScrubFinished", text),)


def _pruned(inputs: TaskInputs, part: PruneStatus, at: str, report: TaskReport) -> Settled:
    further = inputs.copies is not None and next_node(inputs.copies, part.node) is not None
    part = replace(part, finished_at=at, bytes_freed=report.bytes_freed, bytes_unused=0)
    part = replace(part, job=replace(part.job, done=not further))
    text = f"{quantity(report.bytes_freed)} of files that nothing needs any more were removed"
    return part, (Notice("Normal", "Pruned", text),) if report.bytes_freed else ()
