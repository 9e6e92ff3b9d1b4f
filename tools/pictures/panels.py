"""A dashboard's panels with what Prometheus answered them; times count from the beginning of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pictures.questions import RATE_INTERVAL_S, Series, expression, legend, rows
from pictures.tables import cells

Json = dict[str, Any]


class Answers(Protocol):
    """Prometheus."""

    def range(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[Series]: ...

    def instant(self, expr: str, at_s: float) -> list[Series]: ...


@dataclass(frozen=True, slots=True)
class Panel:
    """``x`` to ``height`` are of the grid, which is 24 wide."""

    title: str
    kind: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    series: tuple[tuple[str, Series], ...]
    """With the names that the legend gives them."""
    length_s: float
    """Of the run."""
    cells: list[list[str]]
    """Of a table."""
    bars: bool
    shows_name: bool
    none: str
    steps: list[Json]
    mapping: Json


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one title."""

    title: str
    panels: tuple[Panel, ...]

    @property
    def y(self) -> int:
        return min(panel.y for panel in self.panels)

    @property
    def height(self) -> int:
        return max(panel.y + panel.height for panel in self.panels) - self.y

    @property
    def is_empty(self) -> bool:
        return not any(panel.series or len(panel.cells) > 1 for panel in self.panels)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom, for which time and with which variables of the dashboard."""

    answers: Answers
    start_s: float
    end_s: float
    variables: Mapping[str, str]

    def board(self, board: Json) -> list[Row]:
        """Rows of which any panel has data."""
        found = [Row(title, tuple(map(self._panel, panels))) for title, panels in rows(board)]
        return [row for row in found if not row.is_empty]

    def _panel(self, panel: Json) -> Panel:
        place, field, options = panel["gridPos"], panel["fieldConfig"]["defaults"], panel.get("options", {})
        is_table = panel["type"] == "table"
        mapping = {key: each for one in field.get("mappings", ()) for key, each in one["options"].items()}
        return Panel(
            title=panel["title"],
            kind=panel["type"],
            unit=field["unit"],
            x=place["x"],
            y=place["y"],
            width=place["w"],
            height=place["h"],
            series=() if is_table else tuple(self._series(panel)),
            length_s=self.end_s - self.start_s,
            cells=self._cells(panel) if is_table else [],
            bars=field.get("custom", {}).get("drawStyle") == "bars",
            shows_name=options.get("textMode") == "name",
            none=field.get("noValue", "-"),
            steps=field.get("thresholds", {}).get("steps", []),
            mapping=mapping,
        )

    def _series(self, panel: Json) -> Iterator[tuple[str, Series]]:
        step_s = RATE_INTERVAL_S if "interval" in panel else 1
        for target in panel["targets"]:
            expr = self._expression(target)
            if target.get("instant"):
                found = self.answers.instant(expr, self.end_s)
            else:
                found = self.answers.range(expr, self.start_s, self.end_s, step_s)
            for each in found:
                yield legend(target["legendFormat"], each.labels), each.since(self.start_s)

    def _cells(self, panel: Json) -> list[list[str]]:
        answers = {each["refId"]: self.answers.instant(self._expression(each), self.end_s) for each in panel["targets"]}
        return cells(panel, answers, self.end_s)

    def _expression(self, target: Json) -> str:
        return expression(target["expr"], self.variables, self.end_s - self.start_s)
