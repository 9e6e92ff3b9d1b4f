"""Which pod may run here: a pure decision on gates, claims and devices.

One node. CPU and memory are not counted, extended resources such as ``nvidia.com/gpu`` are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]


def gated(pod: Json) -> bool:
    return bool(pod["spec"].get("schedulingGates"))


def devices(pod: Json) -> Counter[str]:
    """Extended resources that it asks for: containers add up, an init container counts for itself."""
    total: Counter[str] = Counter()
    for each in pod["spec"].get("containers") or ():
        total += _asked(each)
    for each in pod["spec"].get("initContainers") or ():
        total |= _asked(each)
    return total


def _asked(container: Json) -> Counter[str]:
    limits = (container.get("resources") or {}).get("limits") or {}
    return Counter({name: int(count) for name, count in limits.items() if "/" in name})


def obstacle(pod: Json, running: Iterable[Json], bound: Mapping[str, bool], capacity: Mapping[str, int]) -> str:
    """Why it cannot run now, in the scheduler's words; empty when it can.

    ``running``: pods that hold what they asked for; ``bound``: whether each claim of the namespace is.
    """
    for volume in pod["spec"].get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim not in bound:
            return f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found.'
        if claim and not bound[claim]:
            return "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    used: Counter[str] = Counter()
    for each in running:
        used += devices(each)
    for name, count in devices(pod).items():
        if used[name] + count > capacity.get(name, 0):
            return f"0/1 nodes are available: 1 Insufficient {name}."
    return ""
