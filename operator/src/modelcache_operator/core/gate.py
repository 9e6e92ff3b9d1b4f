"""The scheduling gate: which pods it holds, when it is removed, and the patch that removes it.

It is removed once the cache is complete, and before that for pods whose init container waits for the cache:

- within ``spec.gate.leadTime`` of the expected end of the sync (``lead_time``), and
- at once where sync Jobs are disabled, since such a pod has to fill the volume.

The patch also notes on the pod when the gate was removed, and which commits were on the volume then, or how long the
sync was expected to take.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from init_sync.shell.formatting import duration, timestamp
from modelcache_operator.core.names import COMMIT_ANNOTATION, GATE, LEAD_TIME_ANNOTATION, OPENED_ANNOTATION
from modelcache_operator.core.node_affinity import Requirement
from modelcache_operator.core.observed import Snapshot
from modelcache_operator.core.observed_pods import Pod


class Cause(StrEnum):
    """Why a gate is removed."""

    COMPLETE = "Complete"
    LEAD_TIME = "LeadTime"
    JOBS_DISABLED = "JobsDisabled"


@dataclass(frozen=True, slots=True)
class Removal:
    """Gates to remove."""

    pods: tuple[Pod, ...] = ()
    cause: Cause = Cause.COMPLETE
    left_s: float = 0.0
    """How long the sync is expected to take, with the cause LeadTime."""
    lead_to: tuple[Requirement, ...] = ()
    """What a node must be on which the pods may run; empty: any."""


NONE = Removal()


def gated_pods(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Those that the gate holds, in the order in which they came."""
    held = [pod for pod in pods if GATE in pod.gates and not pod.deleting]
    return tuple(sorted(held, key=lambda pod: (pod.created_at, pod.name)))


def waiting_pods(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Those that nothing but the gate holds: behind the gates of others they would wait all the same."""
    return tuple(pod for pod in gated_pods(pods) if is_held_by_us_alone(pod))


def is_held_by_us_alone(pod: Pod) -> bool:
    return pod.gates == (GATE,)


def waits_by_itself(pod: Pod, snapshot: Snapshot) -> bool:
    """Whether a pod without the gate serves nothing before the cache is complete: its init container sees to that."""
    return pod.verifies and snapshot.cache.volume.claim in pod.claims


def gate_patch(pod: Pod, removal: Removal, commit: str, now: float) -> list[dict[str, object]]:
    """JSON patch that removes our gate and adds the notes, and does neither if the pod is not what it was.

    A merge patch cannot take one entry out of a list; a JSON patch cannot add to a map that is not there, so a pod
    without annotations gets the map, provided that it still is the version that had none.
    """
    path = f"/spec/schedulingGates/{pod.gates.index(GATE)}"
    notes = {OPENED_ANNOTATION: timestamp(now), **_note(removal, commit)}
    checks: list[dict[str, object]] = [
        {"op": "test", "path": f"{path}/name", "value": GATE},
        {"op": "test", "path": "/metadata/uid", "value": pod.uid},
    ]
    if pod.annotated:
        additions = [_add(f"/metadata/annotations/{pointer(key)}", value) for key, value in notes.items()]
    else:
        checks.append({"op": "test", "path": "/metadata/resourceVersion", "value": pod.version})
        additions = [_add("/metadata/annotations", notes)]
    return [*checks, {"op": "remove", "path": path}, *additions]


def _note(removal: Removal, commit: str) -> dict[str, str]:
    """Which commits a pod loads is known once the cache is complete."""
    if removal.cause is Cause.LEAD_TIME:
        return {LEAD_TIME_ANNOTATION: duration(removal.left_s)}
    return {COMMIT_ANNOTATION: commit} if commit and removal.cause is Cause.COMPLETE else {}


def _add(path: str, value: object) -> dict[str, object]:
    return {"op": "add", "path": path, "value": value}


def pointer(key: str) -> str:
    """A key as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
