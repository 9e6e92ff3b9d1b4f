"""The scheduling gate: which pods it holds, and the patch that removes it.

The patch also notes on the pod when the gate was removed, and which commits were on the volume then.
"""

from __future__ import annotations

from collections.abc import Iterable

from init_sync.shell.formatting import timestamp
from modelcache_operator.core.names import COMMIT_ANNOTATION, GATE, OPENED_ANNOTATION
from modelcache_operator.core.observed import Pod


def waiting_pods(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Those that the gate holds, in the order in which they came."""
    held = [pod for pod in pods if GATE in pod.gates and not pod.deleting]
    return tuple(sorted(held, key=lambda pod: (pod.created_at, pod.name)))


def gate_patch(pod: Pod, commit: str, now: float) -> list[dict[str, object]]:
    """JSON patch that removes our gate and adds the notes, and does neither if the pod is not what it was.

    A merge patch cannot take one entry out of a list; a JSON patch cannot add to a map that is not there, so a pod
    without annotations gets the map, provided that it still is the version that had none.
    """
    path = f"/spec/schedulingGates/{pod.gates.index(GATE)}"
    notes = {OPENED_ANNOTATION: timestamp(now), **({COMMIT_ANNOTATION: commit} if commit else {})}
    checks: list[dict[str, object]] = [
        {"op": "test", "path": f"{path}/name", "value": GATE},
        {"op": "test", "path": "/metadata/uid", "value": pod.uid},
    ]
    if pod.annotated:
        additions = [_add(f"/metadata/annotations/{_pointer(key)}", value) for key, value in notes.items()]
    else:
        checks.append({"op": "test", "path": "/metadata/resourceVersion", "value": pod.version})
        additions = [_add("/metadata/annotations", notes)]
    return [*checks, {"op": "remove", "path": path}, *additions]


def _add(path: str, value: object) -> dict[str, object]:
    return {"op": "add", "path": path, "value": value}


def _pointer(key: str) -> str:
    """A key as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
