"""Which pods may pass the gate, and how long those that passed had waited.

A pod that was opened carries the moment in an annotation, written by the very patch that removed the gate. The record
in the status holds which of the pods that still exist are in its sums, so that none is counted twice or missed, in
whatever order pods are seen: not when the operator is killed, not when it never hears that its patch was carried out.
Of more than ``MAX_COUNTED`` such pods the surplus stays uncounted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modelcache_operator.core import moments
from modelcache_operator.core.facts import PodFacts
from modelcache_operator.core.names import GATE, OPENED_ANNOTATION
from modelcache_operator.core.status import GateRecord
from modelcache_operator.core.totals import MAX_COUNTED

MARK_LENGTH = 13
"""Of a uid: enough to tell a thousand pods apart."""


def waiting_pods(pods: Iterable[PodFacts]) -> tuple[PodFacts, ...]:
    """Those that the gate holds, in the order in which they came."""
    held = [pod for pod in pods if GATE in pod.gates and not pod.deleting]
    return tuple(sorted(held, key=lambda pod: (pod.created_at, pod.name)))


def newly_released(record: GateRecord, pods: Iterable[PodFacts]) -> tuple[PodFacts, ...]:
    """Pods that were let go and are not counted yet, in the order in which that happened."""
    known = set(record.counted)
    opened = sorted(
        (pod.opened_at, pod.name, pod) for pod in pods if pod.opened_at is not None and _mark(pod) not in known
    )
    return tuple(pod for *_, pod in opened)[: max(0, MAX_COUNTED - len(known))]


def count_released(record: GateRecord, pods: Iterable[PodFacts]) -> GateRecord:
    pods = tuple(pods)
    visible = {_mark(pod) for pod in pods}
    new = newly_released(record, pods)
    counted = (*(mark for mark in record.counted if mark in visible), *map(_mark, new))
    for pod in new:
        record = _add(record, pod)
    return record if counted == record.counted else replace(record, counted=counted)


def _add(record: GateRecord, pod: PodFacts) -> GateRecord:
    at = pod.opened_at or 0.0
    waited = waited_s(pod)
    return replace(
        record,
        released=record.released + 1,
        wait_s=record.wait_s + waited,
        gpu_s=record.gpu_s + waited * pod.gpus,
        last_wait_s=waited,
        last_released_at=max(record.last_released_at, moments.micro_stamp(at)),
    )


def waited_s(pod: PodFacts) -> float:
    """How long a pod that was let go had been held."""
    return max(0.0, (pod.opened_at or 0.0) - pod.created_at)


def _mark(pod: PodFacts) -> str:
    return pod.uid[:MARK_LENGTH]


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
