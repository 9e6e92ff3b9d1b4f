"""Every expression that the chart ships: of dashboards as they lie there, of alerts as Helm renders them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.tools import helm, why_no_helm

Json = dict[str, Any]
CHART = Path(__file__).parents[2] / "charts/modelcache"
KIND = "monitoring.coreos.com/v1/PrometheusRule"
ASKED_BY_TEXT = re.compile(r'printf "((?:[^"\\]|\\.)*)"[^|}]*\| query')


@dataclass(frozen=True, slots=True)
class Expression:
    """``labels``: those that its legend or its texts speak of."""

    source: str
    text: str
    labels: frozenset[str]

    def __str__(self) -> str:
        return self.source


@cache
def rendered(template: str, *flags: str) -> tuple[Json, ...]:
    """What a template gives, with ``flags`` beside the chart's own values; without a Helm the test is skipped."""
    program = helm()
    if program is None:
        pytest.skip(why_no_helm())
    command = [str(program), "template", "demo", str(CHART), "--namespace", "models", "--show-only", template, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode and "could not find template" in done.stderr:
        return ()
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def groups(*flags: str) -> list[Json]:
    """The alerts' groups; none if the chart makes no rules with these flags."""
    found = rendered("templates/prometheusrule.yaml", "--api-versions", KIND, *flags)
    return [group for each in found for group in each["spec"]["groups"]]


def alerts(*flags: str) -> list[Json]:
    return [rule for group in groups(*flags) for rule in group["rules"]]


def of_alerts() -> Iterator[Expression]:
    for rule in alerts():
        texts = " ".join([rule["annotations"]["summary"], rule["annotations"]["description"]])
        spoken = frozenset(re.findall(r"\$labels\.(\w+)", texts)) - frozenset(rule["labels"])
        yield Expression(rule["alert"], rule["expr"], spoken)
        for asked in ASKED_BY_TEXT.findall(texts):
            named = frozenset(re.findall(r'label "(\w+)"', texts))
            yield Expression(f"{rule['alert']}, its text", asked.replace("%q", '"x"'), named)


def boards() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((CHART / "dashboards").glob("*.json"))}


def of_boards() -> Iterator[Expression]:
    for name, board in boards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield _of_variable(name, variable)
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                named = frozenset(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                yield Expression(f"{name}, {panel['title']}, {target['refId']}", concrete(target["expr"]), named)


def _of_variable(board: str, variable: Mapping[str, Any]) -> Expression:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
    assert found, f"{board}: variable {variable['name']} asks {variable['query']!r}"
    return Expression(f"{board}, variable {variable['name']}", concrete(found[1]), frozenset({found[2]}))


def concrete(text: str) -> str:
    """With a time in place of Grafana's own variables, which a parser does not know."""
    return re.sub(r"\$__(?:rate_interval|range|interval)", "5m", text)
