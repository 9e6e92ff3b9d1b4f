"""What an expression takes from Prometheus, and which labels its result has.

Made for what the dashboards and alerts use; an expression with something else in it fails here, so that this module
is taught it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import promql_parser as parser

from monitoring.exported import Exported, Series

SCRAPED = frozenset({"namespace", "pod", "job", "instance", "container", "endpoint", "service"})
"""Labels that Prometheus adds to what it scrapes, as the monitors of the Prometheus operator do."""

COUNTERS_ONLY = frozenset({"rate", "increase", "irate"})
COUNTING = frozenset({"counter", "histogram", "summary"})
NO_LABELS = frozenset({"time", "vector", "absent", "scalar"})


class Unfit(AssertionError):
    """An expression that would give nothing, or something else than it says."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A choice of series."""

    name: str
    matchers: tuple[tuple[str, str, bool], ...]
    """Label, value, and whether the value is an expression."""


def selectors(expr: Any) -> Iterator[Selector]:
    found: list[parser.VectorSelector] = []

    def visit(node: Any) -> bool:
        if isinstance(node, parser.VectorSelector):
            found.append(node)
        elif isinstance(node, parser.MatrixSelector):
            found.append(node.vector_selector)
        return True

    parser.walk(expr, visit)
    for node in found:
        yield Selector(node.name or "", tuple(_matcher(each) for each in node.matchers.matchers))


def _matcher(matcher: Any) -> tuple[str, str, bool]:
    return matcher.name, matcher.value, matcher.op in (parser.MatchOp.Re, parser.MatchOp.NotRe)


def labels_of(expr: Any, exported: Exported) -> Set[str]:
    """The labels that tell the results apart; Unfit where a part asks for one that its input lacks."""
    match expr:
        case parser.VectorSelector():
            if (series := _of_series(expr, exported)).kind in COUNTING:
                raise Unfit(
                    f"{expr.name} is a {series.kind}: it begins at 0 with each process, so ask for its increase"
                )
            return series.labels.keys() | SCRAPED
        case parser.MatrixSelector():
            return _of_series(expr.vector_selector, exported).labels.keys() | SCRAPED
        case parser.ParenExpr() | parser.UnaryExpr() | parser.SubqueryExpr():
            return labels_of(expr.expr, exported)
        case parser.NumberLiteral() | parser.StringLiteral():
            return frozenset()
        case parser.Call():
            return _of_call(expr, exported)
        case parser.AggregateExpr():
            return _of_aggregate(expr, exported)
        case parser.BinaryExpr():
            return _of_binary(expr, exported)
    raise Unfit(f"{type(expr).__name__} is not known here")


def _of_series(expr: parser.VectorSelector, exported: Exported) -> Series:
    if not expr.name or expr.name not in exported:
        raise Unfit(f"no process exports {expr.name}")
    return exported[expr.name]


def _of_call(expr: parser.Call, exported: Exported) -> Set[str]:
    inputs = [labels_of(each, exported) for each in expr.args]
    name = expr.func.name
    if name in COUNTERS_ONLY and (kind := _of_series(expr.args[0].vector_selector, exported).kind) not in COUNTING:
        raise Unfit(f"{name}() of {expr.args[0]}, which is a {kind}")
    if name in NO_LABELS:
        return frozenset()
    if name == "histogram_quantile":
        _need({"le"}, inputs[1], "histogram_quantile")
        return inputs[1] - {"le"}
    return inputs[-1]


def _of_aggregate(expr: parser.AggregateExpr, exported: Exported) -> Set[str]:
    inner = labels_of(expr.expr, exported)
    if expr.modifier is None:
        return frozenset()
    _need(set(expr.modifier.labels), inner, str(expr.modifier.type))
    if expr.modifier.type == parser.AggModifierType.Without:
        return inner - set(expr.modifier.labels)
    return frozenset(expr.modifier.labels)


def _of_binary(expr: parser.BinaryExpr, exported: Exported) -> Set[str]:
    left, right = labels_of(expr.lhs, exported), labels_of(expr.rhs, exported)
    matching = expr.modifier.matching if expr.modifier else None
    operator = str(expr.op)
    if matching:
        _need(set(matching.labels), left, f"{operator} on, left")
        _need(set(matching.labels), right, f"{operator} on, right")
    if operator in ("and", "unless"):
        return left
    if operator == "or":
        return left | right
    if matching and operator not in ("==", "!=", ">", "<", ">=", "<="):
        return frozenset(matching.labels)
    if left and right and not matching and left != right:
        raise Unfit(f"{operator}: {sorted(left)} and {sorted(right)} never match")
    return left or right


def _need(wanted: Set[str], given: Set[str], where: str) -> None:
    if missing := wanted - given:
        raise Unfit(f"{where}: the series have no label {', '.join(sorted(missing))}")


def check_matchers(selector: Selector, exported: Exported, closed: Mapping[str, Set[str]]) -> None:
    """Labels that exist, and of labels with a known set of values one of these. ``closed``: label to values."""
    if selector.name not in exported:
        raise Unfit(f"no process exports {selector.name}")
    for label, value, is_pattern in selector.matchers:
        _need({label}, exported[selector.name].labels.keys() | SCRAPED, selector.name)
        if label in closed and "$" not in value:
            for each in value.split("|") if is_pattern else [value]:
                if each not in closed[label]:
                    raise Unfit(f"{selector.name}: {label} is never {each}")
