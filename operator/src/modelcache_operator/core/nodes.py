"""Nodes, reduced to what decides where copies are: which ones have a copy, and where a pod can start now.

Taints of Kubernetes' own (``node.kubernetes.io/...``) come and go with the state of a node, so they make it unavailable
and do not take it from its group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from modelcache_operator.core.spec import PerNodeSpec

Json = Mapping[str, Any]

HOSTNAME = "kubernetes.io/hostname"
OF_STATE = "node.kubernetes.io/"
BLOCKING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods away that do not tolerate it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node. Two are equal if nothing differs that is read here."""

    name: str
    uid: str
    version: str = field(compare=False)
    labels: Mapping[str, str]
    ready: bool
    schedulable: bool
    taints: tuple[Taint, ...]

    @property
    def namespace(self) -> str:
        """Of a node there is none."""
        return ""

    @property
    def host(self) -> str:
        """What affinity names it by, which need not be its name; empty if it has none."""
        return self.labels.get(HOSTNAME, "")


@dataclass(frozen=True, slots=True)
class Nodes:
    """Those of the cluster, by name."""

    known: Mapping[str, Node] = field(default_factory=dict)
    reason: str = ""
    problem: str = ""
    """Why they are not known; empty when they are."""


NO_NODES = Nodes()


def parse_node(raw: Json) -> Node:
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or ()}
    return Node(
        name=meta["name"],
        uid=meta["uid"],
        version=meta.get("resourceVersion") or "",
        labels={intern(key): intern(value) for key, value in (meta.get("labels") or {}).items()},
        ready=conditions.get("Ready") == "True",
        schedulable=not spec.get("unschedulable"),
        taints=tuple(
            Taint(each.get("key") or "", each.get("value") or "", each["effect"])
            for each in spec.get("taints") or ()
            if each.get("effect") in BLOCKING
        ),
    )


def has_copy(node: Node, group: PerNodeSpec) -> bool:
    """Whether a copy belongs on it."""
    if any(node.labels.get(key) != value for key, value in group.selector.items()):
        return False
    return all(taint.key.startswith(OF_STATE) or _is_tolerated(taint, group.tolerations) for taint in node.taints)


def is_available(node: Node, group: PerNodeSpec) -> bool:
    """Whether a pod can start on it now."""
    return node.ready and node.schedulable and all(_is_tolerated(taint, group.tolerations) for taint in node.taints)


def _is_tolerated(taint: Taint, tolerations: Iterable[Json]) -> bool:
    return any(_tolerates(each, taint) for each in tolerations)


def _tolerates(toleration: Json, taint: Taint) -> bool:
    if (toleration.get("effect") or taint.effect) != taint.effect:
        return False
    key = toleration.get("key") or ""
    if toleration.get("operator") == "Exists":
        return key in ("", taint.key)
    return key == taint.key and (toleration.get("value") or "") == taint.value
