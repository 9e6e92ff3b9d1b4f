"""What kubelets and controllers write into a status, as pure functions of what happened.

Shared by the runner, which makes things happen, and by ``support.kubelet``, whose tests say what happened.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
TERMINATION_MESSAGE_BYTES = 4096


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def termination_message(data: bytes) -> str:
    """What is kept of a termination log: its end."""
    return data[-TERMINATION_MESSAGE_BYTES:].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Ended:
    """One run of a container that is over."""

    exit_code: int
    message: str
    started_at: str
    finished_at: str
    reason: str = ""
    """The kubelet's word; empty for what the exit code says."""

    def json(self) -> Json:
        return {
            "exitCode": self.exit_code,
            "reason": self.reason or ("Completed" if self.exit_code == 0 else "Error"),
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "message": self.message,
        }


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """One entry of ``containerStatuses`` or ``initContainerStatuses``."""

    name: str
    image: str
    state: Json = field(default_factory=lambda: waiting("ContainerCreating"))
    last: Json = field(default_factory=dict)
    restarts: int = 0
    started: bool = False
    ready: bool = False

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """Of a run that is over and not followed by another."""
        ended: Json = self.state.get("terminated", {})
        return ended.get("exitCode")

    def json(self) -> Json:
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last,
        }


def pod_status(
    inits: Sequence[ContainerStatus], mains: Sequence[ContainerStatus], restarts: bool, before: Iterable[Json]
) -> Json:
    """Of a pod on a node. ``restarts``: whether containers are started again after they ended well."""
    initialized = all(each.exit_code == 0 for each in inits)
    ready = bool(mains) and all(each.ready for each in mains)
    values = {
        "PodScheduled": (True, ""),
        "Initialized": (initialized, "ContainersNotInitialized"),
        "ContainersReady": (ready, "ContainersNotReady"),
        "Ready": (ready, "ContainersNotReady"),
    }
    return {
        "phase": _phase(inits, mains, restarts),
        "conditions": _conditions(before, values),
        **({"initContainerStatuses": [each.json() for each in inits]} if inits else {}),
        "containerStatuses": [each.json() for each in mains],
    }


def _phase(inits: Iterable[ContainerStatus], mains: Sequence[ContainerStatus], restarts: bool) -> str:
    if any(each.exit_code for each in inits) and not restarts:
        return "Failed"
    codes = [each.exit_code for each in mains]
    if mains and not restarts and all(code is not None for code in codes):
        return "Failed" if any(codes) else "Succeeded"
    begun = any(each.running or each.restarts or each.exit_code is not None for each in mains)
    return "Running" if begun else "Pending"


def _conditions(before: Iterable[Mapping[str, Any]], values: Mapping[str, tuple[bool, str]]) -> list[Json]:
    """``values``: whether it holds, and a reason where it does not. Times change with the value alone."""
    known = {each["type"]: each for each in before}
    found = []
    for kind, (holds, reason) in values.items():
        status = "True" if holds else "False"
        old = known.get(kind, {})
        at = old["lastTransitionTime"] if old.get("status") == status else now()
        entry = {"type": kind, "status": status, "lastTransitionTime": at}
        found.append(entry | ({"reason": reason} if reason and not holds else {}))
    return found


def is_ready(pod: Mapping[str, Any]) -> bool:
    found = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)


def unschedulable(message: str) -> Json:
    """The status of a pod that the scheduler finds no place for."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [condition | {"lastTransitionTime": now()}]}


def finished_job(job: Mapping[str, Any], outcome: str, reason: str = "", message: str = "") -> Json:
    """The status of a Job that is Complete or Failed.

    Since 1.31 the API server itself checks that a finished Job looks as the controller leaves it.
    """
    at = now()
    preceding = "SuccessCriteriaMet" if outcome == "Complete" else "FailureTarget"
    found = [
        {"type": each, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at}
        for each in (preceding, outcome)
    ]
    status: Json = {"conditions": found, "startTime": job["metadata"]["creationTimestamp"], "active": 0}
    status |= {"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}
    return status | ({"succeeded": 1, "completionTime": at} if outcome == "Complete" else {"failed": 1})


def pod_from_template(owner: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> Json:
    """A pod as the controller of a Job or a Deployment makes it, with a name of its own."""
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = template.get("metadata") or {}
    reference = {key: owner[key] for key in ("apiVersion", "kind")}
    reference |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
    metadata |= {
        "name": f"{owner['metadata']['name'][:57]}-{uuid.uuid4().hex[:5]}",
        "labels": {**(metadata.get("labels") or {}), **(labels or {})},
        "ownerReferences": [reference],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
