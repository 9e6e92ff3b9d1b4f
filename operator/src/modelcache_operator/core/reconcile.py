"""The decision: from one snapshot of a cache to the status it should have and the actions to take.

``reconcile`` is pure and level-triggered: it looks at what is, never at what happened, so that it may be called at any
time, again and again, and after any outage, with the same result. The parts, by module:

- ``claims``      is there a usable claim, must it be made, does another cache want the same path
- ``proof``       what proves this content complete on this claim, what speaks against it
- ``job_plan``    is a sync Job to be made or deleted, and when is the next one due
- ``phase``       phase, reason and message
- ``progress``    bytes and models, from the newest report
- ``tasks``       Jobs that are no syncs: which one is due; by ``task_ends`` and ``task_plan`` what follows
- ``peers``       is a peer server to be made, replaced or deleted
- ``copies``      with a copy on every node: the state of each, and in ``copy_jobs`` and ``copy_gate`` what follows
- ``gate``        pods that wait; their gates are removed while the phase is Ready, or early: ``lead_time``
- ``queues``      Jobs of the user's that a queue holds until the cache is complete
- ``unheld``      pods that hold a GPU too early
- ``conditions``  the answers for tools
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from modelcache_operator.core.claims import check_claim, conflict, is_made_for, wants_owner, wants_size
from modelcache_operator.core.conditions import conditions
from modelcache_operator.core.copy_gate import copy_removal, pods_without_node, stranded_pods
from modelcache_operator.core.copy_jobs import plan_copy_jobs, served_node
from modelcache_operator.core.copy_proof import look_at_copies
from modelcache_operator.core.copy_status import with_copies
from modelcache_operator.core.gate import NONE, Cause, Removal, gated_pods, is_held_by_us_alone, waits_by_itself
from modelcache_operator.core.job_plan import JobRequest, plan_jobs
from modelcache_operator.core.lead_time import early_removal
from modelcache_operator.core.messages import Notice
from modelcache_operator.core.observed import Job, Snapshot
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.owned_objects import sort_objects
from modelcache_operator.core.peer_objects import address
from modelcache_operator.core.peers import NO_PLAN, PEERS_READY, SERVING, PeerPlan, plan_peers, serving_pod
from modelcache_operator.core.phase import decide_phase
from modelcache_operator.core.phase_inputs import NO_POD_S, PhaseDecision, PhaseInputs
from modelcache_operator.core.pods_in_use import pods_status
from modelcache_operator.core.progress import with_progress
from modelcache_operator.core.proof import update_record
from modelcache_operator.core.queues import queued_jobs
from modelcache_operator.core.status import Phase, Status
from modelcache_operator.core.summary import summary
from modelcache_operator.core.task_plan import NO_TASKS, SIZING, TaskPlan, look_at_tasks, plan_tasks
from modelcache_operator.core.tasks import Part, Task
from modelcache_operator.core.unheld import early_pods, failed_pods, stray_pods

QUIET = ("ClaimCreating", "ClaimPending", "PodStarting", SIZING)
"""Reasons that last a moment at each start: no Event."""
NORMAL = ("AllModelsVerified", "Syncing", "Resyncing", "WaitingForPod", "WaitingForLock", "PodTerminating")
"""Reasons with nothing wrong about them, unless the phase says otherwise."""
Request = TypeVar("Request", JobRequest, JobRequest | None)
WAITING_EVENT_S = 5.0
"""A pod that waits longer than this gets an Event that says for what."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order, and the status to write once all but the gates is done."""

    status: Status
    acts: bool = True
    """False while what was refused is not to be tried again yet: then there is a status and nothing else."""
    write_config: bool = False
    create_claim: bool = False
    own_claim: bool | None = None
    """True: tie the claim's life to the cache's; False: untie it; None: it is as it should be."""
    enlarge_claim: bool = False
    delete_jobs: tuple[str, ...] = ()
    create_job: JobRequest | None = None
    copy_jobs: tuple[JobRequest, ...] = ()
    """Those of further copies."""
    peers: PeerPlan = NO_PLAN
    tasks: TaskPlan = NO_TASKS
    notices: tuple[Notice, ...] = ()
    notify_waiting: tuple[Pod, ...] = ()
    """Pods to be told what they wait for."""
    notify_without_node: tuple[Pod, ...] = ()
    """Pods to be told that no copy is for a node on which they may run."""
    notify_strays: tuple[Pod, ...] = ()
    """Pods to be told that they do not wait for the cache."""
    notify_stranded: tuple[Pod, ...] = ()
    """Pods to be told that their nodes are full or gone."""
    notify_failed: tuple[Pod, ...] = ()
    """Pods to be told that they hold a GPU in vain."""
    remove_gates: Removal = NONE
    admit_jobs: tuple[Job, ...] = ()
    """Jobs of the user's that a queue need not hold any more for this cache."""
    wake_at: float | None = None
    """When to decide again, though nothing may have changed."""


def reconcile(snapshot: Snapshot, now: float) -> Decision:
    """Nothing is made while the time has not come to try again what the API refused."""
    cache = snapshot.cache
    act = now >= snapshot.refusals.until
    problem = cache.problem or snapshot.forbidden or conflict(snapshot)
    objects = sort_objects(snapshot)
    group = cache.volume.per_node
    copies = look_at_copies(snapshot, objects, group, now) if group else None
    record = copies.record if copies else update_record(snapshot, objects)
    tasks = look_at_tasks(snapshot, objects, record, copies, now)
    volume = tasks.check(check_claim(cache.volume, snapshot.claim, now))
    usable = act and not problem and volume.usable and not tasks.holds_sync
    if group and copies:
        plan, requests = plan_copy_jobs(snapshot, objects, copies, group, usable, now)
    else:
        plan, requests = plan_jobs(snapshot, objects, record, usable, now), ()
    inputs = PhaseInputs(snapshot, objects, volume, plan, problem, now, copies)
    decided = decide_phase(inputs)
    peers = plan_peers(snapshot, objects, decided.phase is Phase.READY, now, served_node(copies) if copies else None)
    gated = () if cache.deleting else gated_pods(snapshot.pods)
    ready = decided.phase is Phase.READY
    removal = _removal(inputs, decided, gated) if act or ready else NONE
    ungated = set() if snapshot.refusals.gate else {pod.uid for pod in removal.pods}
    held = tuple(pod for pod in gated if pod.uid not in ungated)
    creating = cache.volume.create and cache.volume.size and snapshot.claim is None
    status = _status(inputs, decided, peers, tasks.parts.get(Task.UPDATES), sum(map(is_held_by_us_alone, held)))
    status, task_plan = plan_tasks(tasks, status, act and not problem, _is_syncing(inputs))
    return Decision(
        status=status,
        acts=act,
        write_config=act and not cache.problem and not cache.deleting and snapshot.config_digest != cache.digest,
        create_claim=act and bool(creating) and not problem and not cache.deleting,
        own_claim=_owner_change(snapshot) if act else None,
        enlarge_claim=act and wants_size(snapshot) and not cache.deleting,
        delete_jobs=(*plan.delete, *task_plan.delete) if act else (),
        tasks=task_plan,
        create_job=_with_peer(plan.create, snapshot),
        copy_jobs=tuple(_with_peer(each, snapshot) for each in requests[1:]),
        peers=peers if act else NO_PLAN,
        notices=(*_notices(cache.status, decided), *_peer_notices(cache.status, peers), *task_plan.notices),
        notify_waiting=() if ready else _long(held, now),
        notify_strays=stray_pods(objects),
        notify_without_node=pods_without_node(_long(held, now), copies) if copies and ready else (),
        notify_stranded=stranded_pods(snapshot, now) if copies else (),
        notify_failed=failed_pods(objects, decided.phase),
        remove_gates=removal,
        admit_jobs=queued_jobs(snapshot.jobs) if ready else (),
        wake_at=min((at for at in _wake_times(inputs, peers, task_plan, gated) if at > now), default=None),
    )


def _removal(inputs: PhaseInputs, decided: PhaseDecision, gated: tuple[Pod, ...]) -> Removal:
    """The gates to remove now, and why."""
    snapshot = inputs.snapshot
    group = snapshot.cache.volume.per_node
    if group:
        ready = inputs.copies if decided.phase is Phase.READY else None
        return copy_removal(snapshot, gated, ready, group) if ready else NONE
    if decided.phase is Phase.READY:
        return Removal(gated)
    if not snapshot.cache.job.enabled:
        syncing = tuple(pod for pod in gated if waits_by_itself(pod, snapshot))
        return NONE if inputs.problem or not inputs.volume.usable else Removal(syncing, Cause.JOBS_DISABLED)
    return early_removal(snapshot, inputs.objects, gated, inputs.now) if decided.phase is Phase.SYNCING else NONE


def _long(waiting: tuple[Pod, ...], now: float) -> tuple[Pod, ...]:
    return tuple(pod for pod in waiting if now - pod.created_at >= WAITING_EVENT_S)


def _status(inputs: PhaseInputs, decided: PhaseDecision, peers: PeerPlan, updates: Part | None, waiting: int) -> Status:
    cache, objects = inputs.snapshot.cache, inputs.objects
    status = Status(
        observed_generation=cache.generation,
        phase=decided.phase,
        message=decided.message,
        complete=decided.phase is Phase.READY,
        claim_name=cache.volume.claim,
        conditions=conditions(inputs, decided, peers, updates),
        sync=inputs.record,
        peers=peers.status,
    )
    status = with_progress(status, inputs.snapshot, objects, inputs.volume.bound)
    if inputs.copies:
        status = with_copies(status, inputs.copies)
    figures = summary(status)
    early = len(early_pods(objects, decided.phase))
    return replace(status, summary=figures, pods=pods_status(inputs.snapshot, objects, figures.commit, waiting, early))


def _owner_change(snapshot: Snapshot) -> bool | None:
    """Only a claim that the operator made for this very cache is ever touched."""
    claim, cache = snapshot.claim, snapshot.cache
    if claim is None or not is_made_for(claim, cache) or claim.deleting or cache.deleting or cache.problem:
        return None
    wanted, owned = wants_owner(snapshot), cache.uid in claim.owner_uids
    return None if wanted == owned or snapshot.refusals.owner else wanted


def _notices(before: Status, decided: PhaseDecision) -> tuple[Notice, ...]:
    """One Event for each change of phase or reason."""
    known = before.condition("Complete")
    if decided.reason in QUIET or (before.phase is decided.phase and known and known.reason == decided.reason):
        return ()
    normal = decided.reason in NORMAL and decided.phase not in (Phase.DEGRADED, Phase.FAILED)
    return (Notice("Normal" if normal else "Warning", decided.phase, f"{decided.reason}: {decided.message}"),)


def _peer_notices(before: Status, peers: PeerPlan) -> tuple[Notice, ...]:
    """One Event when it begins to serve, and one for each reason for which only a person can help."""
    known, said = before.condition(PEERS_READY), peers.condition
    if said is None or (known and known.reason == said.reason) or not (said.reason == SERVING or said.stalled):
        return ()
    return (Notice("Warning" if said.stalled else "Normal", PEERS_READY, f"{said.reason}: {said.text}"),)


def _with_peer(job: Request, snapshot: Snapshot) -> Request:
    return replace(job, peer=address(snapshot.cache)) if job and serving_pod(snapshot) else job


def _is_syncing(inputs: PhaseInputs) -> bool:
    """Or about to: tasks make room. One that cannot start holds up nothing else: without a claim, or on its node."""
    if inputs.snapshot.claim is None:
        return False
    copies = inputs.copies.each if inputs.copies else ()
    return bool(inputs.plan.create or inputs.job) if not copies else any(copy.job and copy.to_come for copy in copies)


def _wake_times(inputs: PhaseInputs, peers: PeerPlan, tasks: TaskPlan, waiting: tuple[Pod, ...]) -> Iterator[float]:
    """When something becomes true by the clock alone."""
    yield inputs.snapshot.refusals.until
    if peers.wake_at:
        yield peers.wake_at
    if tasks.wake_at:
        yield tasks.wake_at
    if inputs.plan.wake_at:
        yield inputs.plan.wake_at
    if inputs.job and not inputs.pod:
        yield inputs.job.created_at + NO_POD_S
    for pod in waiting:
        yield pod.created_at + WAITING_EVENT_S
