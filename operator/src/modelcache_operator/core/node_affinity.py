"""Node affinity: what a pod asks of its node, and how that is narrowed; ``node_index`` finds the nodes.

Required terms are alternatives, so what must hold in any case goes into each of them. Taints, affinity to other pods
and what is free are the scheduler's to know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

Json = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Requirement:
    """On one label of a node."""

    key: str
    operator: str
    values: Collection[str]

    def json(self) -> Json:
        return {"key": self.key, "operator": self.operator, "values": list(self.values)}


@dataclass(frozen=True, slots=True)
class Term:
    """One of the alternatives; without any requirement it matches no node."""

    fields: tuple[Requirement, ...]
    expressions: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class RequiredNodeAffinity:
    """A pod's node selector and required terms."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[Term, ...] | None = None
    """None: any node."""


ANY_NODE = RequiredNodeAffinity()


def parse_required(spec: Mapping[str, Any]) -> RequiredNodeAffinity:
    """Of a pod, by its spec."""
    selector = tuple((intern(key), intern(value)) for key, value in sorted((spec.get("nodeSelector") or {}).items()))
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED)
    if not selector and required is None:
        return ANY_NODE
    terms = None if required is None else tuple(map(_term, required.get("nodeSelectorTerms") or ()))
    return RequiredNodeAffinity(selector, terms)


def on_node(node: str) -> Json:
    """By the scheduler, which knows taints and what is free, unlike ``nodeName``."""
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}


def restricted(affinity: Mapping[str, Any], requirements: Iterable[Requirement]) -> Json:
    """``affinity``, and ``requirements`` too. A term without any expression matches no node, and stays as it is."""
    added = [each.json() for each in requirements]
    nodes = affinity.get("nodeAffinity") or {}
    terms = (nodes.get(REQUIRED) or {}).get("nodeSelectorTerms")
    narrowed = [_narrowed(term, added) for term in terms] if terms else [{"matchExpressions": added}]
    return {**affinity, "nodeAffinity": {**nodes, REQUIRED: {"nodeSelectorTerms": narrowed}}}


def _narrowed(term: Json, added: list[Json]) -> Json:
    """In front stays what was there: the API takes nothing but additions."""
    expressions = term.get("matchExpressions") or []
    return {**term, "matchExpressions": [*expressions, *added]} if expressions or term.get("matchFields") else term


def _term(raw: Json) -> Term:
    return Term(_requirements(raw.get("matchFields")), _requirements(raw.get("matchExpressions")))


def _requirements(raw: Iterable[Json] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(intern(each["key"]), intern(each["operator"]), frozenset(map(intern, each.get("values") or ())))
        for each in raw or ()
    )
