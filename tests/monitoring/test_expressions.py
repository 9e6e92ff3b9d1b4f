"""Dashboards and alerts ask only for what the processes export, and leave nothing out that these export."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import promql_parser
import pytest

from init_sync.core.reasons import Reason
from monitoring import sources
from monitoring.exported import Exported
from monitoring.promql import Unfit, check_matchers, labels_of, selectors
from monitoring.sources import Chart, Expression

OPERATOR = Path(__file__).parents[2] / "operator/src/modelcache_operator"

SHOWN_NOWHERE: dict[str, str] = {
    "modelcache_operator_tasks": "steady unless there is a leak, which make reliability-operator looks for",
}
"""Names that no dashboard and no alert uses, each with the reason."""

HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
"""A family is used if one of its parts is."""


@pytest.fixture(scope="session")
def closed(exported: Exported) -> dict[str, Set[str]]:
    """Labels with a known set of values, and these. The operator's own reasons are words in its sources."""
    words = "\n".join(path.read_text() for path in OPERATOR.rglob("*.py"))
    of_syncs = {str(each) for each in Reason} | {each for each in ("WaitingForPod",) if f'"{each}"' in words}
    return {
        "phase": exported["modelcache_phase"].labels["phase"],
        "outcome": exported["modelcache_syncs_total"].labels["outcome"],
        "status": exported["multitalk_requests_total"].labels["status"],
        "reason": of_syncs | exported["modelcache_serve_cut_responses_total"].labels["reason"],
    }


def _unfit(expressions: list[Expression], exported: Exported, closed: dict[str, Set[str]]) -> list[str]:
    found = []
    for each in expressions:
        try:
            parsed = promql_parser.parse(each.text)
            for selector in selectors(parsed):
                check_matchers(selector, exported, closed)
            if missing := each.labels - labels_of(parsed, exported):
                raise Unfit(f"its result has no label {', '.join(sorted(missing))}")
        except (ValueError, Unfit) as error:
            found.append(f"{each}: {error}")
    return found


def test_the_dashboards_ask_for_what_is_exported(exported: Exported, closed: dict[str, Set[str]]) -> None:
    expressions = list(sources.of_boards())
    assert len(expressions) > 50
    assert _unfit(expressions, exported, closed) == []


def test_the_alerts_ask_for_what_is_exported(chart: Chart, exported: Exported, closed: dict[str, Set[str]]) -> None:
    expressions = list(sources.of_alerts(chart))
    assert len(expressions) > 12, "their texts ask too"
    assert _unfit(expressions, exported, closed) == []


def test_the_alerts_of_a_release_keep_to_its_namespaces(chart: Chart) -> None:
    for rule in chart.alerts():
        for selector in selectors(promql_parser.parse(rule["expr"])):
            assert ("namespace", "models") in {each[:2] for each in selector.matchers}, f"{rule['alert']}: {selector}"


WRONG = {
    "no process exports": "sum(modelcache_sise_bytes)",
    "no label pot": 'max(multitalk_ready{pot="a"})',
    "no label model": "max by (model) (modelcache_complete)",
    "is a gauge": "rate(modelcache_present_bytes[5m])",
    "modelcache_syncs_total is a counter": "sum(modelcache_syncs_total)",
    "modelcache_gate_wait_seconds_sum is a summary": "max(modelcache_gate_wait_seconds_sum)",
    "phase is never Done": 'modelcache_phase{phase="Done"}',
    "reason is never Broken": 'modelcache_reason{reason=~"GatedRepo|Broken"}',
    "left: the series have no label pod": "sum by (cache) (modelcache_complete) and on (pod) multitalk_ready",
    "right: the series have no label cache": "modelcache_complete and on (cache) multitalk_ready",
    "never match": "sum by (cache) (modelcache_complete) / sum by (namespace) (modelcache_complete)",
    "no label le": "histogram_quantile(0.5, sum by (pod) (rate(multitalk_step_seconds_bucket[5m])))",
    "no label reason": "modelcache_complete",
    "unclosed left parenthesis": "sum(",
}


@pytest.mark.parametrize("complaint", WRONG)
def test_a_wrong_expression_is_found(complaint: str, exported: Exported, closed: dict[str, Set[str]]) -> None:
    labels = frozenset({"reason"}) if WRONG[complaint] == "modelcache_complete" else frozenset()
    (found,) = _unfit([Expression("wrong", WRONG[complaint], labels)], exported, closed)
    assert complaint in found


def test_everything_exported_is_shown_or_has_a_reason_not_to_be(chart: Chart, exported: Exported) -> None:
    expressions = [*sources.of_boards(), *sources.of_alerts(chart)]
    used = {_family(each.name) for text in expressions for each in selectors(promql_parser.parse(text.text))}
    unused = {name for name in exported if _family(name) not in used}
    assert unused == set(SHOWN_NOWHERE)


def _family(name: str) -> str:
    for part in HISTOGRAM_PARTS:
        name = name.removesuffix(part)
    return name
