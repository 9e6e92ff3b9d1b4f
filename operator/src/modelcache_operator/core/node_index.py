"""Which of many nodes match the affinity of a pod, by an index of names and label values.

A set of nodes is a number, whose lowest bit is the first of them by name. A thousand pods that each ask something else
of a thousand nodes are a million pairs; here a requirement costs one operation for each value that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from operator import or_

from modelcache_operator.core.node_affinity import RequiredNodeAffinity, Requirement, Term
from modelcache_operator.core.nodes import Node

Index = Mapping[str, int]
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
NAME_FIELD = "metadata.name"


class NodeIndex:
    """Of nodes that do not change."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = sorted(nodes, key=lambda node: node.name)
        self._names = {node.name: 1 << bit for bit, node in enumerate(self._nodes)}
        self._all = (1 << len(self._nodes)) - 1
        self._by_label = cache(self._index)
        self.matching = cache(self._matching)
        """Nodes that match an affinity: pods of one template ask the same."""

    def named(self, names: Iterable[str]) -> int:
        return _union(self._names, names)

    def _index(self, key: str) -> Index:
        found: dict[str, int] = {}
        for bit, node in enumerate(self._nodes):
            if (value := node.labels.get(key)) is not None:
                found[value] = found.get(value, 0) | 1 << bit
        return found

    def _matching(self, affinity: RequiredNodeAffinity) -> int:
        found = self._all
        for key, value in affinity.selector:
            found &= self._by_label(key).get(value, 0)
        return found if affinity.terms is None else found & reduce(or_, map(self._fitting, affinity.terms), 0)

    def _fitting(self, term: Term) -> int:
        """Without any requirement a term matches no node."""
        found = self._all if term.fields or term.expressions else 0
        for each in term.fields:
            found &= self._holding(each, self._names if each.key == NAME_FIELD else {})
        for each in term.expressions:
            found &= self._holding(each, self._by_label(each.key))
        return found

    def _holding(self, requirement: Requirement, index: Index) -> int:
        match requirement.operator:
            case "In":
                return _union(index, requirement.values)
            case "NotIn":
                return self._all & ~_union(index, requirement.values)
            case "Exists":
                return _union(index, index)
            case "DoesNotExist":
                return self._all & ~_union(index, index)
            case "Gt" | "Lt":
                return _union(index, (value for value in index if _compares(requirement, value)))
        return 0


def _union(index: Index, values: Iterable[str]) -> int:
    """No node has two values of one label, so the sum has the bits of each."""
    return sum(map(index.__getitem__, index.keys() & values))


def _compares(requirement: Requirement, value: str) -> bool:
    number, bound = _number(value), _number(next(iter(requirement.values), None))
    if number is None or bound is None:
        return False
    return number > bound if requirement.operator == "Gt" else number < bound


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and WHOLE_NUMBER.fullmatch(text) else None
