"""Which pods may pass the gate, and how long those that passed had waited.

A pod that was opened carries the moment in an annotation, written by the very patch that removed the gate. The record
in the status counts every such pod later than the last one it knows, so that no pod is counted twice or missed,
whenever the operator is killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modelcache_operator.core import moments
from modelcache_operator.core.facts import PodFacts
from modelcache_operator.core.names import GATE, OPENED_ANNOTATION
from modelcache_operator.core.status import GateRecord


def waiting_pods(pods: Iterable[PodFacts]) -> tuple[PodFacts, ...]:
    """Those that the gate holds, in the order in which they came."""
    held = [pod for pod in pods if GATE in pod.gates and not pod.deleting]
    return tuple(sorted(held, key=lambda pod: (pod.created_at, pod.name)))


def count_released(record: GateRecord, pods: Iterable[PodFacts]) -> GateRecord:
    opened = [(pod.opened_at, pod) for pod in pods if pod.opened_at is not None]
    since = record.last_released_at
    for at, pod in sorted(opened, key=lambda each: each[0]):
        stamp = moments.micro_stamp(at)
        if stamp <= since:
            continue
        waited = max(0.0, at - pod.created_at)
        record = replace(
            record,
            released=record.released + 1,
            wait_s=record.wait_s + waited,
            gpu_s=record.gpu_s + waited * pod.gpus,
            last_wait_s=waited,
            last_released_at=stamp,
        )
    return record


def gate_patch(pod: PodFacts, now: float) -> list[dict[str, object]]:
    """JSON patch that removes our gate and notes when, and does neither if the pod is not what it was.

    A merge patch cannot take one entry out of a list; a JSON patch cannot add to a map that is not there, so a pod
    without annotations gets the map, provided that it still is the version that had none.
    """
    path = f"/spec/schedulingGates/{pod.gates.index(GATE)}"
    at = moments.micro_stamp(now)
    checks: list[dict[str, object]] = [
        {"op": "test", "path": f"{path}/name", "value": GATE},
        {"op": "test", "path": "/metadata/uid", "value": pod.uid},
    ]
    note: dict[str, object] = {"op": "add", "path": f"/metadata/annotations/{_pointer(OPENED_ANNOTATION)}", "value": at}
    if not pod.annotated:
        checks.append({"op": "test", "path": "/metadata/resourceVersion", "value": pod.version})
        note = {"op": "add", "path": "/metadata/annotations", "value": {OPENED_ANNOTATION: at}}
    return [*checks, {"op": "remove", "path": path}, note]


def _pointer(key: str) -> str:
    """A key as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
