"""What ``kubectl get`` shows of built-in kinds, computed by the API server: the cells between name and age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Printer:
    """Columns, and the cells of one object."""

    columns: tuple[str, ...]
    cells: Callable[[Json], list[str]]


def pod_cells(pod: Json) -> list[str]:
    status = pod.get("status") or {}
    mains = status.get("containerStatuses") or []
    everything = [*(status.get("initContainerStatuses") or []), *mains]
    ready = sum(bool(each["ready"]) for each in mains)
    restarts = sum(each["restartCount"] for each in everything)
    return [f"{ready}/{len(pod['spec'].get('containers', ()))}", pod_status(pod), str(restarts)]


def pod_status(pod: Json) -> str:
    """The word that stands for all conditions and containers."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    gated = any(each.get("reason") == "SchedulingGated" for each in status.get("conditions") or ())
    inits, mains = status.get("initContainerStatuses") or [], status.get("containerStatuses") or []
    total = len(pod["spec"].get("initContainers", ()))
    for number, each in enumerate(inits):
        if word := _init_word(each["state"]):
            return f"Init:{word}" if word != "-" else f"Init:{number}/{total}"
    words = [word for each in mains if (word := _main_word(each["state"]))]
    whole = "SchedulingGated" if gated else status.get("reason") or status.get("phase", "Unknown")
    return next(iter(words), str(whole))


def _init_word(state: Json) -> str:
    """Empty for a container that is through, a dash for one that is merely not."""
    if ended := state.get("terminated"):
        return str(ended["reason"]) if ended["exitCode"] else ""
    reason = state.get("waiting", {}).get("reason", "-")
    return "-" if reason in ("PodInitializing", "ContainerCreating") else str(reason)


def _main_word(state: Json) -> str:
    return str((state.get("waiting") or state.get("terminated") or {}).get("reason", ""))


def _deployment_cells(deployment: Json) -> list[str]:
    status = deployment.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{deployment['spec'].get('replicas', 1)}"
    return [ready, str(status.get("updatedReplicas", 0)), str(status.get("availableReplicas", 0))]


def _job_cells(job: Json) -> list[str]:
    status = job.get("status") or {}
    held = {each["type"] for each in status.get("conditions") or () if each["status"] == "True"}
    word = next((each for each in ("Complete", "Failed") if each in held), "Running")
    return [word, f"{status.get('succeeded', 0)}/{job['spec'].get('completions', 1)}"]


def _service_cells(service: Json) -> list[str]:
    spec = service["spec"]
    ports = ",".join(f"{each['port']}/{each.get('protocol', 'TCP')}" for each in spec.get("ports", ()))
    return [spec.get("type", "ClusterIP"), spec.get("clusterIP", "<none>"), ports]


PRINTERS = {
    ("", "pods"): Printer(("Ready", "Status", "Restarts"), pod_cells),
    ("apps", "deployments"): Printer(("Ready", "Up-to-date", "Available"), _deployment_cells),
    ("batch", "jobs"): Printer(("Status", "Completions"), _job_cells),
    ("", "services"): Printer(("Type", "Cluster-IP", "Port(s)"), _service_cells),
}
