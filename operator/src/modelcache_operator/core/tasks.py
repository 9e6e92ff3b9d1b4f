"""Jobs of a cache that are no syncs: which one is due, and where it may run.

size     ``plan``: how large the claim must be, with ``spec.volume.create.size: auto``. Before the claim is created,
         and once before a sync of other content or a resync, which waits for the answer and not for a second attempt
prune    ``prune``: once after each proof of other content or commits, when no pod uses what was there before
scrub    ``scrub``: on a schedule, from the end of the last one or the proof. What is left of it is in the receipts
updates  ``plan --refresh --compare-to``: on a schedule; nothing is fetched for it

- One Job at a time, and none beside a sync: a sync is worth more, so a task that runs is deleted for it, which loses
  nothing. All but size are for caches that are Ready.
- A task must not keep a volume from the pods that need it. ReadWriteOnce: it runs on a node where a pod of the cache
  uses the claim, and is deleted when one starts elsewhere. ReadWriteOncePod: it waits until no pod does.
- With a copy on every node it goes from node to node by their names, over complete copies.
- Each Job names what it is about (``modelcache.dev/about``). One that is about something else is deleted.
- A Job that failed, or has not started for ten minutes, is followed by another one after a delay that grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from init_sync.core.content_id import is_commit
from init_sync.core.reasons import Reason
from modelcache_operator.core import timestamps
from modelcache_operator.core.copies import Copies, CopyState
from modelcache_operator.core.job_plan import retry_delay_s
from modelcache_operator.core.messages import Message
from modelcache_operator.core.observed import Cache, Job, Snapshot
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.pods_in_use import used_nodes
from modelcache_operator.core.status import SyncRecord
from modelcache_operator.core.task_status import PruneStatus, ScrubStatus, SizeStatus, TaskRecord, UpdatesStatus

Part = SizeStatus | PruneStatus | ScrubStatus | UpdatesStatus
SLOWER, RATE_LIMITED = 6, 60
"""How much longer the delays are than those of syncs: nobody waits for these, and a hub that asks for quiet gets it."""


class Task(StrEnum):
    """In the order in which they go before each other; the values are fields of the status."""

    SIZE = "size"
    PRUNE = "prune"
    SCRUB = "scrub"
    UPDATES = "updates"

    @property
    def command(self) -> str:
        """Of init-sync; a Job's label and a part of its name."""
        return self.value if self.mounts else "plan"

    @property
    def mounts(self) -> bool:
        return self in (Task.PRUNE, Task.SCRUB)


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A Job to make."""

    task: Task
    name: str
    attempt: int
    about: str
    node: str = ""
    """Where it must run; empty: anywhere."""
    pins: str = ""
    """What is on the volume, for ``--compare-to``."""


@dataclass(frozen=True, slots=True)
class TaskInputs:
    """What is looked at."""

    snapshot: Snapshot
    objects: OwnedObjects
    record: SyncRecord
    copies: Copies | None
    now: float

    @property
    def cache(self) -> Cache:
        return self.snapshot.cache


def commits(inputs: TaskInputs) -> dict[str, str]:
    """Those that were proven, by model; a proof from before version 0.2 has none, and the newest report counts."""
    known = {model.name: model.commit for model in inputs.cache.status.models}
    found = {name: inputs.record.commits.get(name) or known.get(name) for name in inputs.cache.models}
    return {name: commit for name, commit in found.items() if commit}


def abouts(inputs: TaskInputs) -> dict[Task, str]:
    """What each task that the manifest asks for is about now. Content that is not proven yet says nothing new."""
    cache, record = inputs.cache, inputs.record
    if cache.problem or not cache.job.enabled:
        return {}
    content = (record.claim_uid, cache.content)
    with_commits = (*content, *sorted(commits(inputs).items()))
    wanted = {
        Task.SIZE: (cache.content, cache.resync) if cache.volume.auto else None,
        Task.PRUNE: with_commits if cache.volume.prune else None,
        Task.SCRUB: content if cache.scrub else None,
        Task.UPDATES: with_commits if cache.updates_s and not _is_pinned(cache) else None,
    }
    return {task: _digest(task, each) for task, each in wanted.items() if each}


def _is_pinned(cache: Cache) -> bool:
    """A commit never moves."""
    return all(is_commit(str(model.get("revision") or "")) for model in cache.spec["models"])


def _digest(task: Task, parts: tuple[object, ...]) -> str:
    return hashlib.sha256(repr((task.value, parts)).encode()).hexdigest()[:16]


def next_node(copies: Copies, after: str) -> str | None:
    """With a copy on every node, the next one that has a complete copy; None after the last."""
    nodes = (copy.node.name for copy in copies.each if copy.state is CopyState.COMPLETE and copy.available)
    return min((name for name in nodes if name > after), default=None)


def in_round(part: ScrubStatus) -> bool:
    """Begun and not finished: it goes on."""
    return bool(part.started_at) and part.started_at > part.finished_at


def due_at(inputs: TaskInputs, task: Task, part: Part) -> float | None:
    """When the next Job of it is made at the soonest; None: not as things are."""
    job, now = part.job, inputs.now
    if task is not Task.SIZE and not inputs.record.proven_at:
        return None
    if job.done and task in (Task.SIZE, Task.PRUNE):
        return None
    if job.failures and not (isinstance(part, ScrubStatus) and not in_round(part)):
        return (timestamps.parse(job.failed_at) or now) + _delay_s(task, job)
    if isinstance(part, ScrubStatus) and inputs.cache.scrub:
        return now if in_round(part) else _scheduled(inputs, inputs.cache.scrub.every_s, part.finished_at, part.next_at)
    if isinstance(part, UpdatesStatus):
        return _scheduled(inputs, inputs.cache.updates_s, part.checked_at, part.next_at)
    return now


def _delay_s(task: Task, job: TaskRecord) -> float:
    limited = RATE_LIMITED if job.reason == Reason.RATE_LIMITED else 0
    return retry_delay_s(job.failures) * max(limited, 1 if task is Task.SIZE else SLOWER)


def _scheduled(inputs: TaskInputs, every_s: int, last: str, known: str) -> float:
    """A share of the period later that is the cache's own, so that they do not all begin at once; nor do they where
    the period is over for all of them when it is set."""
    share = int(hashlib.sha256(inputs.cache.uid.encode()).hexdigest()[:8], 16) / (1 << 32)
    spread = int(every_s / 10 * share)
    since = max(timestamps.parse(each) or 0.0 for each in (last, inputs.record.proven_at))
    if (due := since + every_s + spread) > inputs.now:
        return due
    return min(timestamps.parse(known) or inputs.now + spread, inputs.now + spread)


def place(inputs: TaskInputs, part: Part) -> tuple[str, Message | None]:
    """The node for a Job that mounts the claim, empty for any; or why there is none now."""
    if inputs.copies and isinstance(part, ScrubStatus | PruneStatus):
        node = next_node(inputs.copies, part.node)
        return node or "", None if node else Message("NoNodes", "no node has a complete copy that can be read")
    claim = inputs.snapshot.claim
    modes = claim.access_modes if claim else ()
    users = [pod.name for pod in inputs.objects.workloads if pod.uses_volumes]
    if "ReadWriteOncePod" in modes and users:
        text = f"claim {inputs.cache.volume.claim} is ReadWriteOncePod, and pod {min(users)} uses it"
        return "", Message("VolumeInUse", f"{text}: this waits until no pod does")
    nodes = used_nodes(inputs.objects)
    return nodes[0] if nodes and "ReadWriteMany" not in modes else "", None


def is_in_the_way(inputs: TaskInputs, pods: tuple[Pod, ...]) -> bool:
    """Whether the pods of a task keep the volume from a pod of the user's."""
    claim = inputs.snapshot.claim
    if claim is None or inputs.copies or "ReadWriteMany" in claim.access_modes:
        return False
    if "ReadWriteOncePod" in claim.access_modes:
        return any(pod.uses_volumes for pod in inputs.objects.workloads)
    own = {pod.node for pod in pods if pod.node}
    return bool(own) and not own.issuperset(used_nodes(inputs.objects))


def empty(task: Task) -> Part:
    parts: Mapping[Task, type[Part]] = {
        Task.SIZE: SizeStatus,
        Task.PRUNE: PruneStatus,
        Task.SCRUB: ScrubStatus,
        Task.UPDATES: UpdatesStatus,
    }
    return parts[task]()


def stored(inputs: TaskInputs) -> dict[Task, Part]:
    """What the status has of each task; begun again for what is about something else now."""
    status = inputs.cache.status
    found: dict[Task, Part] = {}
    for task, about in abouts(inputs).items():
        part: Part = getattr(status, task.value) or empty(task)
        unproven = task is not Task.SIZE and not inputs.record.proven_at
        if part.job.about != about and not unproven:
            old = part.job.attempt
            part = replace(part, job=TaskRecord(about, attempt=old, settled_attempt=old))
            part = replace(part, node="") if isinstance(part, PruneStatus) else part
            part = replace(part, commits={}, bytes=0) if isinstance(part, UpdatesStatus) else part
            part = replace(part, started_at="", node="") if isinstance(part, ScrubStatus) else part
        elif task is Task.SIZE and status.observed_generation != inputs.cache.generation:
            part = replace(part, job=replace(part.job, failures=0))  # what was changed may be the cure
        found[task] = part
    return found


def newest_job(inputs: TaskInputs, task: Task, part: Part) -> Job | None:
    jobs = (job for job in inputs.objects.tasks if (job.task, job.about) == (task.command, part.job.about))
    return max(jobs, key=lambda job: job.attempt, default=None)
