"""How many GPUs a pod asks for, by the limits of its containers.

Counted are extended resources whose name ends in ``/gpu`` (``nvidia.com/gpu``, ``amd.com/gpu``, ...) and the slices of
NVIDIA's (``nvidia.com/mig-1g.10gb``, ...), one each. Devices that a pod asks for by a ResourceClaim are not seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]
GPU = re.compile(r"[^/]+/gpu|nvidia\.com/mig-[^/]+")
COUNT = re.compile(r"[0-9]{1,4}")
"""The API allows whole numbers only; one with more digits is a mistake, and would spoil a sum for ever."""


def gpu_count(spec: Json) -> int:
    """As the scheduler counts: containers run side by side, init containers before them, one after the other."""
    before = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") != "Always"]
    beside = [each for each in spec.get("initContainers") or () if each not in before]
    together = _sum(_limits(each) for each in (*beside, *(spec.get("containers") or ())))
    alone: Counter[str] = Counter()
    for each in before:
        alone |= _limits(each)
    return (together | alone).total()


def _sum(parts: Iterable[Counter[str]]) -> Counter[str]:
    return sum(parts, Counter())


def _limits(container: Json) -> Counter[str]:
    limits = (container.get("resources") or {}).get("limits") or {}
    return Counter({name: int(count) for name, count in limits.items() if GPU.fullmatch(name) and _is_count(count)})


def _is_count(value: object) -> bool:
    return COUNT.fullmatch(str(value)) is not None
