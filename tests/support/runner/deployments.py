"""The Deployment controller: as many pods of the present template as there shall be. A pure plan, and its execution.

Pods belong to the Deployment itself, there are no ReplicaSets in between; ``maxSurge`` is 1 and ``maxUnavailable`` 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.runner.statuses import conditions, pod_from_template
from support.runner.view import View, key_of

Json = dict[str, Any]
HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """Pods to make, and names of pods to delete."""

    create: int = 0
    delete: tuple[str, ...] = ()


def template_hash(deployment: Json) -> str:
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:9]


def is_ready(pod: Json) -> bool:
    found = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)


def _alive(pod: Json) -> bool:
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not (ended or pod["metadata"].get("deletionTimestamp"))


def plan_deployment(deployment: Json, pods: Sequence[Json]) -> DeploymentPlan:
    """``pods``: its own, oldest first."""
    wanted, present = deployment["spec"].get("replicas", 1), template_hash(deployment)
    new = [pod for pod in pods if pod["metadata"]["labels"].get(HASH) == present]
    old = [pod for pod in pods if pod not in new]
    new_alive, old_alive = ([pod for pod in some if _alive(pod)] for some in (new, old))
    if len(new_alive) > wanted:
        return DeploymentPlan(delete=_names(new_alive[wanted:] + old_alive))
    missing = wanted - len(new_alive)
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        if old:
            return DeploymentPlan(delete=_names(old_alive))
        return DeploymentPlan(create=missing)
    room = wanted + 1 - len(new_alive) - len(old_alive) if old_alive else missing
    surplus = sum(is_ready(pod) for pod in new_alive) + len(old_alive) - wanted
    return DeploymentPlan(create=max(0, min(missing, room)), delete=_names(old_alive[: max(0, surplus)]))


def _names(pods: Sequence[Json]) -> tuple[str, ...]:
    return tuple(pod["metadata"]["name"] for pod in pods)


def deployment_status(deployment: Json, pods: Sequence[Json]) -> Json:
    present = template_hash(deployment)
    alive = [pod for pod in pods if _alive(pod)]
    ready = sum(is_ready(pod) for pod in alive)
    wanted = deployment["spec"].get("replicas", 1)
    before = (deployment.get("status") or {}).get("conditions", ())
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(alive),
        "updatedReplicas": sum(pod["metadata"]["labels"].get(HASH) == present for pod in alive),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
        "conditions": conditions(before, {"Available": (ready >= wanted, "MinimumReplicasUnavailable")}),
    }


async def control_deployment(view: View, deployment: Json) -> None:
    if deployment["metadata"].get("deletionTimestamp"):
        return
    pods = view.owned_by(deployment)
    plan = plan_deployment(deployment, pods)
    for pod in pods:
        if pod["metadata"]["name"] in plan.delete:
            await view.delete("pods", pod)
    namespace, _ = key_of(deployment)
    for _ in range(plan.create):
        body = pod_from_template(deployment, {HASH: template_hash(deployment)})
        await view.create("pods", body, namespace)
    status = deployment_status(deployment, view.owned_by(deployment))
    if status != deployment.get("status"):
        await view.patch("deployments", deployment, {"status": status}, "status")
