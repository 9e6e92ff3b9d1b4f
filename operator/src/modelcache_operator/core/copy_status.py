"""What is said of copies: figures, phase, and what hinders all of them."""

from __future__ import annotations

from dataclasses import replace

from modelcache_operator.core.copies import Copies, Copy, CopyState
from modelcache_operator.core.messages import Message
from modelcache_operator.core.observed import Snapshot
from modelcache_operator.core.phase_inputs import PhaseDecision, PhaseInputs, next_attempt
from modelcache_operator.core.status import CopyStatus, NodesStatus, Phase, Status

MAX_LISTED = 100
MAX_MESSAGE = 80
"""Characters, of each copy: the status must stay small."""
NOT_LOCAL = "NotLocal"


def copies_are_hindered(inputs: PhaseInputs) -> PhaseDecision | None:
    found = inputs.copies and hindrance(inputs.snapshot, inputs.copies)
    if not found:
        return None
    phase = Phase.DEGRADED if inputs.record.proven_at else Phase.PENDING
    return PhaseDecision(phase, found.reason, found.text, found.stalled)


def copies_can_be_used(inputs: PhaseInputs) -> bool:
    """A Job that is refused takes nothing from the copies that are complete; pods mount the ConfigMap, too."""
    copies, snapshot = inputs.copies, inputs.snapshot
    return bool(copies and copies.count(CopyState.COMPLETE)) and snapshot.config_digest == snapshot.cache.digest


def copies_are_complete(inputs: PhaseInputs) -> PhaseDecision | None:
    """One is enough: pods can start there."""
    copies, refusals = inputs.copies, inputs.snapshot.refusals
    if copies is None or not copies.count(CopyState.COMPLETE):
        return None
    message = f"{copies.count(CopyState.COMPLETE)} of {len(copies.each)} nodes have a complete copy"
    more = "" if copies.settled else f"{message}; the others follow"
    refused = f"{refusals.object}; it is tried again" if refusals.object else ""
    said = (message, refused or _first_failure(copies), refusals.gate, refusals.owner)
    return PhaseDecision(Phase.READY, "AllModelsVerified", ". ".join(filter(None, said)), more=more)


def no_copy_is_complete(inputs: PhaseInputs) -> PhaseDecision | None:
    """Any more: there was one."""
    if inputs.copies is None or not inputs.record.proven_at:
        return None
    named = next((copy for copy in inputs.copies.each if copy.said.reason), None)
    found = named.said if named else Message("NotVerified", "")
    why = f": {_on_node(named)}" if named else ""
    text = f"no node has a complete copy any more{why}{next_attempt(inputs)}"
    return PhaseDecision(Phase.DEGRADED, found.reason, text, found.stalled)


def hindrance(snapshot: Snapshot, copies: Copies) -> Message | None:
    """What keeps all copies from being one behind one claim."""
    nodes, claim = snapshot.nodes, snapshot.claim
    if nodes.problem:
        return Message(nodes.reason, nodes.problem, stalled=True)
    if claim and claim.access_modes and "ReadWriteMany" not in claim.access_modes:
        return Message(
            "AccessMode",
            f"claim {claim.name} is {', '.join(claim.access_modes)}, and spec.volume.perNode needs ReadWriteMany. Name "
            "another claim in spec.volume.claimName",
            stalled=True,
        )
    if copies.same_volume:
        return Message(NOT_LOCAL, not_local(snapshot, copies), stalled=True)
    if not copies.each:
        return Message(
            "NoNodes",
            "no node matches spec.volume.perNode: check nodeSelector, and the taints that tolerations must name",
        )
    return None


def not_local(snapshot: Snapshot, copies: Copies) -> str:
    first, second = copies.same_volume
    claim = snapshot.cache.volume.claim
    return (
        f"nodes {first} and {second} have one volume behind claim {claim}. Name a claim that is bound to a local "
        "PersistentVolume, or remove spec.volume.perNode. If the disk of one was moved or cloned to the other, empty "
        "it there and set the annotation modelcache.dev/resync"
    )


def with_copies(status: Status, copies: Copies) -> Status:
    """``status`` with the figures of copies. What is on the volumes is what the first copy was pinned to."""
    complete, total = copies.count(CopyState.COMPLETE), len(copies.each)
    syncing, failed = copies.count(CopyState.SYNCING), copies.count(CopyState.FAILED)
    listed = sorted((copy for copy in copies.each if copy.state is not CopyState.COMPLETE), key=_by_state)
    commits, digests = copies.record.commits, copies.record.digests
    models = status.models
    if status.phase is Phase.READY:
        models = tuple(
            replace(each, commit=commits.get(each.name, each.commit), digest=digests.get(each.name, each.digest))
            for each in models
        )
    return replace(
        status,
        models=models,
        nodes=NodesStatus(total, complete, syncing, failed),
        copies=tuple(_copy_status(copy) for copy in listed[:MAX_LISTED]),
    )


def _by_state(copy: Copy) -> tuple[int, str]:
    order = (CopyState.FAILED, CopyState.SYNCING, CopyState.UNAVAILABLE, CopyState.MISSING)
    return order.index(copy.state), copy.node.name


def _copy_status(copy: Copy) -> CopyStatus:
    text = copy.said.text
    return CopyStatus(
        copy.node.name,
        copy.state.value,
        copy.said.reason,
        text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…",
    )


def _first_failure(copies: Copies) -> str:
    failed = next((copy for copy in copies.each if copy.state is CopyState.FAILED), None)
    return f"{_on_node(failed)}; it is tried again" if failed else ""


def _on_node(copy: Copy) -> str:
    if copy.state is CopyState.UNAVAILABLE:
        return copy.said.text
    return (
        f"node {copy.node.name}: {copy.said.reason}: {copy.said.text}" if copy.said.reason else f"node {copy.node.name}"
    )
