"""Conditions: questions that a person, ``kubectl wait`` or a tool may ask, each with a reason to act on.

Complete     may a GPU start? True only while the phase is Ready
Ready        the same, under the name that kstatus (Flux, Helm) and Argo CD look for
Reconciling  does the operator, a Job or a queue work on it? (kstatus)
Stalled      does it wait for something that only a person can change? (kstatus)
Syncing      does a sync container run now?
VolumeReady  is there a volume to sync to?
PodsHeld     only while it is False: does a pod hold a GPU though the cache is not complete, or not wait for it at all?
PeersReady   with spec.peers: is the copy served to others?
UpdateAvailable  with spec.updates: has a branch or tag moved since the sync? Unknown while the hub cannot be asked

Of Ready, Reconciling and Stalled exactly one is True; with a copy on every node, Ready and Reconciling both are while
copies are missing and others can be used.
"""

from __future__ import annotations

from modelcache_operator.core import timestamps
from modelcache_operator.core.claims import difference
from modelcache_operator.core.copy_status import NOT_LOCAL, not_local
from modelcache_operator.core.owned_objects import running_pods
from modelcache_operator.core.peers import PEERS_READY, SERVING, PeerPlan
from modelcache_operator.core.phase_inputs import PhaseDecision, PhaseInputs
from modelcache_operator.core.status import Condition, Phase, Status
from modelcache_operator.core.task_ends import update_text
from modelcache_operator.core.task_status import UpdatesStatus
from modelcache_operator.core.tasks import Part
from modelcache_operator.core.unheld import PODS_HELD, pods_held

UPDATE_AVAILABLE = "UpdateAvailable"
Said = tuple[str, bool | str, str, str]


def conditions(
    inputs: PhaseInputs, decided: PhaseDecision, peers: PeerPlan, updates: Part | None
) -> tuple[Condition, ...]:
    """The new conditions; one whose status is what it was keeps the time of its last change."""
    cache = inputs.snapshot.cache
    complete = decided.phase is Phase.READY
    working = bool(decided.more) or (not complete and not decided.stalled)
    because = (decided.reason, decided.message)
    work = ("CopiesMissing", decided.more) if decided.more else because
    said: list[Said] = [
        ("Complete", complete, *because),
        ("Ready", complete, *because),
        ("Reconciling", working, *(work if working else _settled(decided))),
        ("Stalled", decided.stalled, *(because if decided.stalled else ("NotStalled", "nobody needs to act"))),
        _syncing(inputs),
        _volume_ready(inputs),
        *_pods_held(inputs, decided),
        *_peers_ready(peers),
        *_update_available(inputs, updates),
    ]
    return tuple(
        Condition(kind, str(true), reason, message, _since(cache.status, kind, str(true), inputs.now), cache.generation)
        for kind, true, reason, message in said
    )


def _volume_ready(inputs: PhaseInputs) -> tuple[str, bool, str, str]:
    """A difference from what the manifest asks for hinders no sync, so it is said here and nowhere else."""
    volume, differs = inputs.volume, difference(inputs.snapshot)
    if inputs.copies and inputs.copies.same_volume:
        return "VolumeReady", False, NOT_LOCAL, not_local(inputs.snapshot, inputs.copies)
    reason = "ClaimDiffers" if differs and volume.bound else volume.reason
    return "VolumeReady", volume.bound, reason, ". But ".join(filter(None, (volume.message, differs)))


def _pods_held(inputs: PhaseInputs, decided: PhaseDecision) -> list[tuple[str, bool, str, str]]:
    said = pods_held(inputs.objects, decided.phase, inputs.snapshot.cache.name)
    return [(PODS_HELD, False, said.reason, said.text)] if said else []


def _peers_ready(peers: PeerPlan) -> list[tuple[str, bool, str, str]]:
    said = peers.condition
    return [(PEERS_READY, said.reason == SERVING, said.reason, said.text)] if said else []


def _update_available(inputs: PhaseInputs, updates: Part | None) -> list[Said]:
    cache = inputs.snapshot.cache
    if not (cache.updates_s and inputs.record.proven_at):
        return []
    if not isinstance(updates, UpdatesStatus):
        return [(UPDATE_AVAILABLE, False, "UpToDate", "every model is pinned to a commit")]
    if updates.job.failures:
        return [(UPDATE_AVAILABLE, "Unknown", updates.job.reason, updates.job.message)]
    if updates.commits:
        return [(UPDATE_AVAILABLE, True, UPDATE_AVAILABLE, update_text(cache.name, updates))]
    asked = updates.checked_at or inputs.record.proven_at
    return [(UPDATE_AVAILABLE, False, "UpToDate", f"at {asked} the hub had nothing newer")]


def _settled(decided: PhaseDecision) -> tuple[str, str]:
    if decided.stalled:
        return "Stalled", "waits for a change; see the condition Stalled"
    return "Complete", "there is nothing to do"


def _syncing(inputs: PhaseInputs) -> tuple[str, bool, str, str]:
    if inputs.copies and (count := sum(copy.job is not None for copy in inputs.copies.each)):
        return "Syncing", True, "SyncRunning", f"{count} of {len(inputs.copies.each)} nodes sync their copy"
    pods = running_pods(inputs.objects, inputs.snapshot.cache.job.enabled)
    if pods:
        return "Syncing", True, "SyncRunning", f"pod {pods[0].name} syncs"
    if inputs.record.next_attempt_at:
        return "Syncing", False, "WaitingToRetry", f"the next sync starts at {inputs.record.next_attempt_at}"
    return "Syncing", False, "NoSyncRunning", "no sync container runs"


def _since(status: Status, kind: str, value: str, now: float) -> str:
    before = status.condition(kind)
    since = before.last_transition_time if before and before.status == value else ""
    return since or timestamps.stamp(now)
