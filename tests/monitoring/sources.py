"""Every expression that the chart ships: of dashboards as they lie there, of alerts as Helm renders them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.helm import CHART, Helm, Release

Json = dict[str, Any]
RULES = "monitoring.coreos.com/v1/PrometheusRule"
ASKED_BY_TEXT = re.compile(r'printf "((?:[^"\\]|\\.)*)"[^|}]*\| query')


@dataclass(frozen=True, slots=True)
class Expression:
    """``labels``: those that its legend or its texts speak of."""

    source: str
    text: str
    labels: frozenset[str]

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True, slots=True)
class Chart:
    """What the chart makes for monitoring, as Helm renders it."""

    helm: Helm
    _made: dict[str, list[Json]] = field(default_factory=dict)

    def objects(self, kind: str, values: Json | None = None, apis: tuple[str, ...] = (RULES,)) -> list[Json]:
        """Those that carry the component's label; each set of values is rendered once."""
        key = json.dumps([values, apis])
        if key not in self._made:
            self._made[key] = self.helm.render(Release(values or {}, api_versions=apis))
        labelled = [each for each in self._made[key] if _component(each) == "monitoring"]
        return [each for each in labelled if each["kind"] == kind]

    def groups(self, **values: Any) -> list[Json]:
        """The alerts' groups; ``values`` are the chart's."""
        return [group for each in self.objects("PrometheusRule", values) for group in each["spec"]["groups"]]

    def alerts(self, **values: Any) -> list[Json]:
        return [rule for group in self.groups(**values) for rule in group["rules"]]


def _component(made: Json) -> str | None:
    labels: dict[str, str] = made["metadata"].get("labels", {})
    return labels.get("app.kubernetes.io/component")


def of_alerts(chart: Chart) -> Iterator[Expression]:
    for rule in chart.alerts():
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
