"""Node affinity: which nodes a pod may run on, and how that is narrowed.

Required terms are alternatives, so what must hold in any case goes into each of them. Taints, affinity to other pods
and what is free are the scheduler's to know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

Json = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Requirement:
    """On one label of a node."""

    key: str
    operator: str
    values: Collection[str]

    def json(self) -> Json:
        return {"key": self.key, "operator": self.operator, "values": list(self.values)}

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                number, bound = _number(value), _number(next(iter(self.values), None))
                if number is None or bound is None:
                    return False
                return number > bound if self.operator == "Gt" else number < bound
        return False


@dataclass(frozen=True, slots=True)
class Term:
    """One of the alternatives; without any requirement it matches no node."""

    fields: tuple[Requirement, ...]
    expressions: tuple[Requirement, ...]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        return (
            bool(self.fields or self.expressions)
            and (not self.fields or _all_hold(self.fields, {"metadata.name": name}))
            and _all_hold(self.expressions, labels)
        )


@dataclass(frozen=True, slots=True)
class RequiredNodeAffinity:
    """A pod's node selector and required terms."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[Term, ...] | None = None
    """None: any node."""

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.selector) and (
            self.terms is None or any(term.matches(name, labels) for term in self.terms)
        )

    def named(self) -> frozenset[str] | None:
        """The only nodes that it can match, if each term names some, as in the pods of a DaemonSet; else None."""
        found = [each.values for term in self.terms or () for each in term.fields[:1] if each.operator == "In"]
        return frozenset().union(*found) if self.terms and len(found) == len(self.terms) else None


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


def _all_hold(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    return all(each.holds(labels) for each in requirements)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and WHOLE_NUMBER.fullmatch(text) else None
