"""What to do about tasks now, and what the status says of them; see ``tasks`` and ``task_ends``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelcache_operator.core import messages, names, timestamps
from modelcache_operator.core.claims import ClaimCheck, difference, is_made_for
from modelcache_operator.core.copies import Copies, CopyState
from modelcache_operator.core.copy_jobs import pins
from modelcache_operator.core.messages import Notice
from modelcache_operator.core.observed import Job, Snapshot
from modelcache_operator.core.observed_pods import Run
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.phase_inputs import NEXT_ATTEMPT
from modelcache_operator.core.pods_in_use import pods_on_older_content
from modelcache_operator.core.status import Status, SyncRecord
from modelcache_operator.core.task_ends import NOT_STARTED_S, finish_round, is_started, not_started, pods_of, settle
from modelcache_operator.core.task_status import PruneStatus, ScrubStatus, SizeStatus, UpdatesStatus
from modelcache_operator.core.tasks import (
    Part,
    Task,
    TaskInputs,
    TaskRequest,
    due_at,
    in_round,
    is_in_the_way,
    newest_job,
    next_node,
    place,
    stored,
)

SIZING = "ClaimSizing"


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What to do, in this order, and what to say."""

    delete: tuple[str, ...] = ()
    create: TaskRequest | None = None
    notices: tuple[Notice, ...] = ()
    again: bool = False
    """What was decided shows in a second look alone: a size, by which the claim is created."""
    wake_at: float | None = None


NO_TASKS = TaskPlan()


@dataclass(frozen=True, slots=True)
class Tasks:
    """One look at the tasks of a cache."""

    inputs: TaskInputs
    parts: dict[Task, Part]
    notices: tuple[Notice, ...]

    @property
    def holds_sync(self) -> bool:
        """Room first: a sync of other content waits for one answer of the hub, whatever it is."""
        size = self.parts.get(Task.SIZE)
        waits = self._sizes and size is not None and not (size.job.done or size.job.failures)
        return waits and self.inputs.snapshot.claim is not None and not self.inputs.snapshot.refusals.task

    @property
    def _sizes(self) -> bool:
        """A claim that was not created for this cache is not changed, so nothing is asked for it."""
        claim = self.inputs.snapshot.claim
        return claim is None or (is_made_for(claim, self.inputs.cache) and not claim.deleting)

    def check(self, volume: ClaimCheck) -> ClaimCheck:
        """``volume``, where the size of the claim is what is missing: with what keeps it from being known."""
        inputs, size = self.inputs, self.parts.get(Task.SIZE)
        absent = inputs.snapshot.claim is None and inputs.cache.volume.auto and not inputs.cache.volume.size
        unproven = not inputs.record.proven_at
        if size is None or not (absent or (self.holds_sync and unproven and volume.usable)):
            return volume
        said = self._unsized(size)
        return ClaimCheck(False, said.reason, said.text, volume.bound, said.stalled)

    def _unsized(self, size: Part) -> messages.Message:
        inputs = self.inputs
        if refused := inputs.snapshot.refusals.task:
            return messages.Message("Refused", refused)
        job = newest_job(inputs, Task.SIZE, size)
        if size.job.failures:
            due = due_at(inputs, Task.SIZE, size) or inputs.now
            next_attempt = f"{NEXT_ATTEMPT}{timestamps.stamp(due)}" if due > inputs.now else ""
            return messages.Message(size.job.reason, size.job.message + next_attempt, size.job.stalled)
        claim = f"a Job asks the hub how large claim {inputs.cache.volume.claim} must be"
        if job and not job.outcome and not is_started(pods := pods_of(inputs, job)):
            said = not_started(job, pods)
            late = inputs.now >= job.created_at + NO_START_S
            return said if late or (pods and said.reason != "PodStarting") else messages.Message(SIZING, claim)
        return messages.Message(SIZING, claim)


NO_START_S = 30.0
"""A Job's pod starts in seconds; what takes longer is told."""


def look_at_tasks(
    snapshot: Snapshot, objects: OwnedObjects, record: SyncRecord, copies: Copies | None, now: float
) -> Tasks:
    """What is known of each, with the Jobs that ended."""
    inputs = TaskInputs(snapshot, objects, record, copies, now)
    parts: dict[Task, Part] = {}
    notices: tuple[Notice, ...] = ()
    for task, part in stored(inputs).items():
        parts[task], told = settle(inputs, task, part)
        notices += told
    return Tasks(inputs, parts, notices)


def plan_tasks(tasks: Tasks, status: Status, act: bool, syncing: bool) -> tuple[Status, TaskPlan]:
    """``act``: Jobs may be made; ``syncing``: a sync runs, or starts now. Returns the status with what is said."""
    inputs, parts, notices = tasks.inputs, dict(tasks.parts), list(tasks.notices)
    cache = inputs.cache
    if cache.deleting or cache.problem:
        kept = cache.status
        return replace(status, size=kept.size, scrub=kept.scrub, updates=kept.updates, prune=kept.prune), NO_TASKS
    _look_at_use(tasks, status, parts, notices)
    unwanted = [job for job in inputs.objects.tasks if _is_unwanted(tasks, parts, job, status.complete, syncing)]
    running = [job for job in inputs.objects.tasks if not job.outcome and job not in unwanted]
    create, wake_at = None, None
    for task, part in list(parts.items()):
        at = due_at(inputs, task, part)
        may = task is Task.SIZE or status.complete
        if at is None or not may or (task is Task.SIZE and not tasks._sizes):
            continue
        parts[task] = part = _with_next(part, at)
        if at > inputs.now:
            wake_at = min(wake_at or at, at)
        elif act and not (create or running or syncing or inputs.snapshot.refusals.task):
            parts[task], create = _begin(inputs, task, part, notices)
    notices += _too_small(inputs, status)
    delete = tuple(job.name for job in unwanted if act and not job.deleting)
    wake_at = min((at for at in (wake_at, *_starts(inputs, running)) if at), default=None)
    status = _told(inputs, status, parts)
    again = create is not None or status.size != cache.status.size
    return status, TaskPlan(delete, create, tuple(notices), again, wake_at)


def _starts(inputs: TaskInputs, running: list[Job]) -> Iterator[float]:
    """When a Job that has not started by then is told of, and given up."""
    for job in running:
        if not is_started(pods_of(inputs, job)):
            yield from (at for at in (job.created_at + NO_START_S, job.created_at + NOT_STARTED_S) if at > inputs.now)


def _look_at_use(tasks: Tasks, status: Status, parts: dict[Task, Part], notices: list[Notice]) -> None:
    """What changes without any Job: pods that go, nodes that go, a report that counts unused files."""
    inputs = tasks.inputs
    prune = parts.get(Task.PRUNE)
    if isinstance(prune, PruneStatus):
        unused = _unused(inputs, prune)
        passed = inputs.copies is not None and prune.node != "" and next_node(inputs.copies, prune.node) is None
        proven_at = timestamps.parse(inputs.record.proven_at) or 0.0
        older = pods_on_older_content(inputs.snapshot, inputs.objects, status.summary.commit, proven_at)
        done = prune.job.done or (status.complete and (passed or _leaves_nothing(inputs)))
        waiting = 0 if done else older
        parts[Task.PRUNE] = replace(
            prune, waiting_for_pods=waiting, bytes_unused=unused, job=replace(prune.job, done=done)
        )
    scrub = parts.get(Task.SCRUB)
    if isinstance(scrub, ScrubStatus) and inputs.copies and scrub.node and status.complete and in_round(scrub):
        parts[Task.SCRUB], told = finish_round(inputs, scrub, timestamps.stamp(inputs.now))
        notices.extend(told)


def _leaves_nothing(inputs: TaskInputs) -> bool:
    """As the sync says that proved what is there."""
    runs = [run for pod in inputs.objects.job_pods for run in pod.runs if run.exit_code == 0 and run.observation]
    said = {run.observation.bytes_unused for run in runs if run.observation}
    return said == {0} and inputs.copies is None


def _unused(inputs: TaskInputs, known: PruneStatus) -> int | None:
    """As the newest report says, if it is newer than the last prune."""
    since = timestamps.parse(known.finished_at) or 0.0
    newest = max(_counts(inputs), key=lambda run: run.finished_at, default=None)
    if newest and newest.observation and newest.finished_at > since:
        return newest.observation.bytes_unused
    return known.bytes_unused


def _counts(inputs: TaskInputs) -> Iterator[Run]:
    objects = inputs.objects
    for pod in (*objects.job_pods, *objects.scrub_pods, *objects.workloads):
        for run in pod.runs:
            report = run.observation
            if report and report.bytes_unused is not None and report.manifest == inputs.cache.digest:
                yield run


def _is_unwanted(tasks: Tasks, parts: dict[Task, Part], job: Job, ready: bool, syncing: bool) -> bool:
    inputs = tasks.inputs
    task = next((each for each, part in parts.items() if part.job.about == job.about), None)
    claim = inputs.snapshot.claim
    mounts = job.task in (Task.SCRUB.command, Task.PRUNE.command)
    if (mounts and claim and claim.deleting) or job.kept_by:
        return True
    if job.outcome:
        return False
    if task is None or job.attempt <= parts[task].job.settled_attempt:
        return True  # it is about something else, or does not start
    if syncing or (task is not Task.SIZE and not ready):
        return True
    size = parts.get(Task.SIZE)
    if task is not Task.SIZE and size and due_at(inputs, Task.SIZE, size) is not None and tasks._sizes:
        return True
    if inputs.copies and mounts:
        return not any(copy.node.name == job.node and copy.state is CopyState.COMPLETE for copy in inputs.copies.each)
    return mounts and is_in_the_way(inputs, pods_of(inputs, job))


def _with_next(part: Part, at: float) -> Part:
    return replace(part, next_at=timestamps.stamp(at)) if isinstance(part, ScrubStatus | UpdatesStatus) else part


def _begin(inputs: TaskInputs, task: Task, part: Part, notices: list[Notice]) -> tuple[Part, TaskRequest | None]:
    """Make its Job, unless the volume must not be mounted now."""
    if isinstance(part, PruneStatus) and part.waiting_for_pods:
        return part, None
    node, hindrance = place(inputs, part) if task.mounts else ("", None)
    if hindrance:
        if part.job.reason != hindrance.reason and task is Task.SCRUB:
            notices.append(Notice("Warning", "ScrubWaiting", hindrance.text))
        return replace(part, job=replace(part.job, reason=hindrance.reason, message=hindrance.text)), None
    status = inputs.cache.status
    known = [each.job.attempt for each in (status.size, status.scrub, status.updates, status.prune) if each]
    attempt = 1 + max([*known, part.job.attempt, *(job.attempt for job in inputs.objects.tasks)])
    request = TaskRequest(
        task,
        names.task_job_name(inputs.cache.name, task.command, attempt),
        attempt,
        part.job.about,
        node,
        pins(inputs.record) if task is Task.UPDATES else "",
    )
    part = replace(part, job=replace(part.job, attempt=attempt))
    if not part.job.failures:
        part = replace(part, job=replace(part.job, reason="", message=""))
    if isinstance(part, ScrubStatus) and not in_round(part):
        part = replace(part, started_at=timestamps.stamp(inputs.now), node="")
    return part, request


def _too_small(inputs: TaskInputs, status: Status) -> Iterator[Notice]:
    """Told once: a claim that must grow and cannot."""
    before, now = inputs.cache.status.condition("VolumeReady"), status.condition("VolumeReady")
    news = now and now.reason == "ClaimDiffers" and not (before and before.reason == now.reason)
    if news and inputs.cache.volume.auto and (differs := difference(inputs.snapshot)):
        yield Notice("Warning", "ClaimTooSmall", differs)


def _told(inputs: TaskInputs, status: Status, parts: dict[Task, Part]) -> Status:
    """Files that nothing needs are told of where nothing removes them, too."""
    size, scrub = parts.get(Task.SIZE), parts.get(Task.SCRUB)
    updates, prune = parts.get(Task.UPDATES), parts.get(Task.PRUNE)
    if prune is None and (unused := _unused(inputs, inputs.cache.status.prune or PruneStatus())):
        prune = PruneStatus(bytes_unused=unused)
    return replace(
        status,
        size=size if isinstance(size, SizeStatus) else None,
        scrub=scrub if isinstance(scrub, ScrubStatus) else None,
        updates=updates if isinstance(updates, UpdatesStatus) else None,
        prune=prune if isinstance(prune, PruneStatus) else None,
    )
