"""Node affinity: required terms are alternatives, so what must hold in any case goes into each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Requirement:
    """On one label of a node."""

    key: str
    operator: str
    values: tuple[str, ...]

    def json(self) -> Json:
        return {"key": self.key, "operator": self.operator, "values": list(self.values)}


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
