"""From pods, as the API's JSON, to what the operator keeps of them; of other objects see ``parse``.

What people can write into pods (ports, reports, annotations) is checked here or in ``reports``. A pod's sync container
is the one named ``init-sync``, among the init containers or, in a Job, among the containers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any

from modelcache_operator.core import names, timestamps
from modelcache_operator.core.gpus import gpu_count
from modelcache_operator.core.node_affinity import ANY_NODE, parse_required
from modelcache_operator.core.observed_pods import PeerPod, Pod, Run, RunState
from modelcache_operator.core.parse import WHOLE_NUMBER, controller_uid
from modelcache_operator.core.reports import line, parse_report, parse_task_report

Json = Mapping[str, Any]
MAX_COMMITS = 1024


def parse_pod(raw: Json) -> Pod:
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    container = _named(spec.get("initContainers"), spec.get("containers"))
    state = _named(status.get("initContainerStatuses"), status.get("containerStatuses"))
    now = state.get("state") or {}
    annotations = meta.get("annotations") or {}
    task = intern(line((meta.get("labels") or {}).get(names.TASK_LABEL), 16))
    return Pod(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        version=meta.get("resourceVersion") or "",
        cache=intern((meta.get("labels") or {}).get(names.CACHE_LABEL) or ""),
        created_at=timestamps.parse(meta.get("creationTimestamp")) or 0.0,
        deleting_since=timestamps.parse(meta.get("deletionTimestamp")),
        owner_uid=controller_uid(meta),
        node=spec.get("nodeName") or "",
        gates=tuple(gate.get("name") or "" for gate in spec.get("schedulingGates") or ()),
        commit=line(annotations.get(names.COMMIT_ANNOTATION), MAX_COMMITS),
        opened=names.OPENED_ANNOTATION in annotations,
        early=names.LEAD_TIME_ANNOTATION in annotations,
        opted_out=annotations.get(names.INJECT_ANNOTATION) == "false",
        annotated=bool(annotations),
        claims=frozenset(_claims(spec)),
        verifies=_verifies(spec),
        reason=line(status.get("reason"), 64),
        unschedulable=_unschedulable(status),
        state=_run_state(container, now),
        running_since=timestamps.parse((now.get("running") or {}).get("startedAt")),
        waiting_reason=line((now.get("waiting") or {}).get("reason"), 64),
        waiting_message=line((now.get("waiting") or {}).get("message")),
        runs=_runs(meta["uid"], state, task),
        running_neighbours=_running_neighbours(status),
        address=status.get("podIP") or "",
        host_network=bool(spec.get("hostNetwork")),
        port=_port(container),
        memory_limit=line(((container.get("resources") or {}).get("limits") or {}).get("memory"), 32),
        gpus=gpu_count(spec),
        ended=_has_ended(status),
        placed_at=_placed_at(status),
        task=task,
        node_affinity=ANY_NODE if spec.get("nodeName") else parse_required(spec),
    )


def is_peer_pod(raw: Json) -> bool:
    """By name and label; whether it is the operator's own is another question."""
    meta = raw["metadata"]
    labels = meta.get("labels") or {}
    cache = labels.get(names.CACHE_LABEL) or ""
    return cache != "" and names.PEERS_LABEL in labels and meta["name"] == names.peers_name(cache)


def parse_peer_pod(raw: Json) -> PeerPod:
    meta, status = raw["metadata"], raw.get("status") or {}
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or ()}
    container: Json = next(iter(status.get("containerStatuses") or ()), {})
    waiting = (container.get("state") or {}).get("waiting") or {}
    said = " ".join(line(waiting.get(key)) for key in ("reason", "message") if waiting.get(key))
    address = status.get("podIP") or ""
    return PeerPod(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        version=meta.get("resourceVersion") or "",
        cache=intern(meta["labels"][names.CACHE_LABEL]),
        created_at=timestamps.parse(meta.get("creationTimestamp")) or 0.0,
        deleting=bool(meta.get("deletionTimestamp")),
        owner_uid=controller_uid(meta),
        node=(raw.get("spec") or {}).get("nodeName") or "",
        template=line((meta.get("annotations") or {}).get(names.TEMPLATE_ANNOTATION), 64),
        ended=_has_ended(status),
        ready=conditions.get("Ready") == "True" and bool(address),
        address=address,
        trouble=_unschedulable(status) or said,
    )


def _named(*lists: Any) -> Json:
    for each in (entry for entries in lists for entry in entries or ()):
        if each.get("name") == names.SYNC_CONTAINER:
            found: Json = each
            return found
    return {}


def _claims(spec: Json) -> Iterable[str]:
    for volume in spec.get("volumes") or ():
        if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            yield intern(claim)


def _verifies(spec: Json) -> bool:
    """A sidecar among the init containers holds up no other container."""
    container = _named(spec.get("initContainers"))
    return bool(container) and container.get("restartPolicy") != "Always"


def _running_neighbours(status: Json) -> tuple[str, ...]:
    """Sidecars among the init containers are left out: they do not keep a pod from ending."""
    others = (each for each in status.get("containerStatuses") or () if each.get("name") != names.SYNC_CONTAINER)
    return tuple(each.get("name") or "" for each in others if "running" in (each.get("state") or {}))


def _has_ended(status: Json) -> bool:
    return status.get("phase") in ("Succeeded", "Failed")


def _unschedulable(status: Json) -> str:
    for each in status.get("conditions") or ():
        if each.get("type") == "PodScheduled" and each.get("reason") == "Unschedulable":
            return line(each.get("message")) or "the scheduler gives no reason"
    return ""


def _placed_at(status: Json) -> float | None:
    for each in status.get("conditions") or ():
        if each.get("type") == "PodScheduled" and each.get("status") == "True":
            return timestamps.parse(each.get("lastTransitionTime"))
    return None


def _run_state(container: Json, state: Json) -> RunState:
    if not container:
        return RunState.ABSENT
    if "running" in state:
        return RunState.RUNNING
    return RunState.FINISHED if "terminated" in state else RunState.WAITING


def _runs(uid: str, container: Json, task: str) -> tuple[Run, ...]:
    """The run before the last restart, if any, and the present one, if it has ended."""
    restarts = container.get("restartCount") or 0
    before = (container.get("lastState") or {}).get("terminated")
    ended = (container.get("state") or {}).get("terminated")
    found = [(before, restarts - 1), (ended, restarts)]
    return tuple(_run(f"{uid[:13]}/{number}", each, task) for each, number in found if each)


def _run(key: str, ended: Json, task: str) -> Run:
    finished = timestamps.parse(ended.get("finishedAt")) or 0.0
    message = ended.get("message")
    return Run(
        key=key,
        started_at=timestamps.parse(ended.get("startedAt")) or finished,
        finished_at=finished,
        exit_code=ended.get("exitCode") or 0,
        reason=line(ended.get("reason"), 64),
        observation=parse_report(message) if isinstance(message, str) else None,
        task=parse_task_report(message) if task and isinstance(message, str) else None,
    )


def _port(container: Json) -> int | None:
    """The number after ``--metrics-port``; pods are asked for progress there and nowhere else."""
    arguments = [*(container.get("command") or ()), *(container.get("args") or ())]
    for index, each in enumerate(arguments):
        value = each.partition("=")[2] if each.startswith("--metrics-port=") else ""
        if each == "--metrics-port" and index + 1 < len(arguments):
            value = arguments[index + 1]
        if WHOLE_NUMBER.fullmatch(value) and 1 <= int(value) <= 65535:
            return int(value)
    return None
