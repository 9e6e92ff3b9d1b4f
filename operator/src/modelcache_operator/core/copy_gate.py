"""Which pods may look for a copy, and the affinity that leads them to one.

- A pod stays at the gate until a copy is complete on a node that its own node selector and node affinity match. One
  that matches no node of the group is told.
- While copies that it could use are missing, it also needs a place: a complete copy that has no pod of the cache, and
  that no ungated pod without a node needs. Otherwise it would be bound to the few nodes that have a copy now, and wait
  there though others follow.
- Once each copy that it could use is complete, failed or unavailable, it is ungated at once.
- The patch that removes the gate adds the requirement to every term of the pod's own. It cannot be changed later, so a
  pod whose nodes are full or gone by then is told, and has to be created again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelcache_operator.core.copies import Copies, Copy, CopyState
from modelcache_operator.core.copy_places import Places
from modelcache_operator.core.gate import NONE, Removal, is_held_by_us_alone
from modelcache_operator.core.node_affinity import Requirement, restricted
from modelcache_operator.core.node_index import NodeIndex
from modelcache_operator.core.nodes import HOSTNAME
from modelcache_operator.core.observed import Snapshot
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.spec import PerNodeSpec

MAX_NAMED = 500
"""Nodes in a pod's affinity; above that it names those that it may not run on."""
STRANDED_S = 30.0
"""The scheduler gets so long to find a node among those with a copy."""


def copy_removal(snapshot: Snapshot, gated: tuple[Pod, ...], copies: Copies, group: PerNodeSpec) -> Removal:
    pods = pods_to_ungate(snapshot, gated, copies)
    return Removal(pods, lead_to=requirements(copies, group.selector)) if pods else NONE


def pods_to_ungate(snapshot: Snapshot, waiting: tuple[Pod, ...], copies: Copies) -> tuple[Pod, ...]:
    """Of those that wait, oldest first; while places are few, none that others hold too."""
    index = NodeIndex(copy.node for copy in copies.each)
    matching = index.matching
    usable = index.named(copy.node.name for copy in copies.each if _leads(copy))
    coming = index.named(copy.node.name for copy in copies.each if copy.to_come and copy.node.host)
    able = [pod for pod in waiting if matching(pod.node_affinity) & usable]
    limited = [pod for pod in able if matching(pod.node_affinity) & coming]
    chosen = {pod.uid for pod in able} - {pod.uid for pod in limited}
    if limited:
        pods = tuple(users_pods(snapshot))
        cannot_start = index.named(copy.node.name for copy in copies.each if not copy.available)
        free = usable & ~cannot_start & ~index.named(pod.node for pod in pods)
        looking = [
            pod
            for pod in pods
            if not pod.node and not pod.deleting and (not pod.gates or (pod.uid in chosen and is_held_by_us_alone(pod)))
        ]
        places = Places()
        for pod in looking:
            places.take(matching(pod.node_affinity) & free)
        own = filter(is_held_by_us_alone, limited)
        chosen |= {pod.uid for pod in own if places.take(matching(pod.node_affinity) & free)}
    return tuple(pod for pod in waiting if pod.uid in chosen)


def pods_without_node(gated: Iterable[Pod], copies: Copies) -> tuple[Pod, ...]:
    """Those that no copy is for, complete or to come."""
    index = NodeIndex(copy.node for copy in copies.each if copy.node.host)
    return tuple(pod for pod in gated if not index.matching(pod.node_affinity))


def users_pods(snapshot: Snapshot) -> Iterable[Pod]:
    """Those that hold a place, or look for one."""
    jobs = snapshot.own_job_uids
    return (pod for pod in snapshot.pods if not pod.ended and pod.owner_uid not in jobs)


def requirements(copies: Copies, selector: Mapping[str, str]) -> tuple[Requirement, ...]:
    """What a node must be to have a complete copy."""
    complete = [copy for copy in copies.each if _leads(copy)]
    if len(complete) <= MAX_NAMED:
        return (Requirement(HOSTNAME, "In", tuple(copy.node.host for copy in complete)),)
    others = tuple(copy.node.host for copy in copies.each if copy.node.host and not _leads(copy))
    group = tuple(Requirement(key, "In", (value,)) for key, value in sorted(selector.items()))
    return (*((Requirement(HOSTNAME, "NotIn", others),) if others else ()), *group)


def _leads(copy: Copy) -> bool:
    """Affinity can name its node, and should."""
    return copy.state is CopyState.COMPLETE and bool(copy.node.host)


def affinity_patch(raw: dict[str, Any], added: tuple[Requirement, ...]) -> list[dict[str, object]]:
    """JSON patch that narrows the pod ``raw``, and does not if it is another version by now."""
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]}
    affinity = restricted(raw["spec"].get("affinity") or {}, added)
    return [version, {"op": "add", "path": "/spec/affinity", "value": affinity}]


def stranded_pods(snapshot: Snapshot, now: float) -> tuple[Pod, ...]:
    """Ungated, and without a node that has a copy and room."""
    return tuple(
        pod
        for pod in users_pods(snapshot)
        if pod.commit and pod.unschedulable and not pod.node and not pod.deleting and now - pod.created_at >= STRANDED_S
    )
