"""Pods that may hold a GPU while their cache is not complete, though nobody wants that: the condition PodsHeld.

A pod with the cache's label is *joined*: it has the gate, or an init container that waits for the cache. Admission
policies see to that; before Kubernetes 1.36, or with the policies off, its author did. And a pod whose gate
was removed early, for ``spec.gate.leadTime``, waits with its GPU when the sync fails after that.
"""

from __future__ import annotations

from modelcache_operator.core import names
from modelcache_operator.core.messages import Message, first
from modelcache_operator.core.observed_pods import Pod, RunState
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.status import Phase

PODS_HELD = "PodsHeld"
NOT_JOINED = "NotJoined"
LEAD_TIME_FAILED = "LeadTimeFailed"


def is_joined(pod: Pod) -> bool:
    held = names.GATE in pod.gates or pod.opened or pod.state is not RunState.ABSENT
    return held or pod.opted_out or pod.ended or pod.deleting


def stray_pods(objects: OwnedObjects) -> tuple[Pod, ...]:
    """The user's that carry the label and start whether the cache is complete or not."""
    return tuple(pod for pod in (*objects.workloads, *objects.unmounted) if not is_joined(pod))


def early_pods(objects: OwnedObjects, phase: Phase) -> tuple[Pod, ...]:
    """Those whose gate was removed for the lead time, and that wait for the cache since."""
    if phase is Phase.READY:
        return ()
    return tuple(pod for pod in objects.workloads if pod.early and not pod.ended and not _has_succeeded(pod))


def failed_pods(objects: OwnedObjects, phase: Phase) -> tuple[Pod, ...]:
    """The same, once no sync is going on that they could wait for."""
    return () if phase is Phase.SYNCING else early_pods(objects, phase)


def pods_held(objects: OwnedObjects, phase: Phase, cache: str) -> Message | None:
    """Nothing to say: None."""
    strays, failed = stray_pods(objects), failed_pods(objects, phase)
    said = [
        *([f"{first(strays)}: {not_joined(cache)}"] if strays else []),
        *([f"{first(failed)}: {lead_time_failed(cache, phase)}"] if failed else []),
    ]
    return Message(NOT_JOINED if strays else LEAD_TIME_FAILED, ". ".join(said)) if said else None


def not_joined(cache: str) -> str:
    return (
        f"has the label of ModelCache {cache}, and neither the gate nor the init container init-sync, so it starts "
        "whether that is complete or not. Admission policies add both on Kubernetes 1.36 and newer (chart value "
        f"admission.enabled); without them, write both out, or set the annotation {names.INJECT_ANNOTATION} to false"
    )


def lead_time_failed(cache: str, phase: Phase) -> str:
    return (
        f"waits with its GPU for ModelCache {cache}, which is {phase}: the gate was removed for spec.gate.leadTime, "
        "and the sync failed after that. Cure what the condition Complete says, or delete the pod to free the GPU"
    )


def _has_succeeded(pod: Pod) -> bool:
    return pod.state is RunState.FINISHED and bool(pod.runs) and pod.runs[-1].exit_code == 0
