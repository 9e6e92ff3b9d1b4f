"""What the dashboards have in common: data source, variables, links, and panels with a unit and a description.

Gauges are computed from API objects, so expressions take them by ``max by (...)``: while one operator hands over to
another, both may be scraped, and a cache must not be counted twice. Counters begin at 0 with each process, so
expressions take the sum of their increases: ``increased`` over the dashboard's range, ``$__rate_interval`` in graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig, VizLegendOptions
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery as DataqueryModel
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Board = boards.Dashboard

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "modelcache"

BYTES, RATE, SECONDS = units.BytesIEC, units.BytesPerSecondIEC, units.Seconds
COUNT, SHARE = units.Short, units.PercentUnit
PER_SECOND = "ops"
BOOLEAN = units.BoolYesNo
MOMENT = "dateTimeFromNow"
"""Of a moment in milliseconds: "3 hours ago"."""

PHASES = {"Ready": "green", "Syncing": "blue", "Pending": "super-light-yellow", "Degraded": "orange", "Failed": "red"}
"""Numbered from 1 on in the panels that colour them."""


@dataclass(frozen=True, slots=True)
class Query:
    """One line of a panel, or several that the legend tells apart."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """Colours by value: the first from below on, the others from their value on."""

    below: str
    above: tuple[tuple[float, str], ...] = ()

    def build(self) -> boards.ThresholdsConfig:
        steps = [Threshold(None, self.below), *(Threshold(value, colour) for value, colour in self.above)]
        return boards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


PLAIN = Steps("text")
GOOD_ABOVE_0 = Steps("text", ((1, "green"),))
WATCH_ABOVE_0 = Steps("green", ((1, "orange"),))
BAD_ABOVE_0 = Steps("green", ((1, "red"),))


def new_board(uid: str, title: str, description: str, variables: Sequence[boards.QueryVariable]) -> Board:
    board = Board(title).uid(uid).description(description).tags([TAG]).refresh("30s").time("now-6h", "now")
    board.timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    board.with_variable(boards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for each in variables:
        board.with_variable(each)
    link = boards.DashboardLink("Model cache").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    return board.link(link.keep_time(True).include_vars(True))


def variable(name: str, label: str, metric: str, many: bool = True) -> boards.QueryVariable:
    """The values that a label of a metric has; ``many``: several may be chosen, or all."""
    made = boards.QueryVariable(name).label(label).datasource(SOURCE).query(f"label_values({metric}, {name})")
    made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    if many:
        made.multi(True).include_all(True).all_value(".+")
        made.current(VariableOption(selected=True, text="All", value="$__all"))
    return made


def increased(metric: str, selector: str) -> str:
    """What a counter gained in the time range of the dashboard, over all processes that counted."""
    return f"sum(increase(modelcache_{metric}{{{selector}}}[$__range]))"


def count(metric: str, selector: str) -> str:
    """The same of what has no fractions: ``increase`` extrapolates."""
    return f"round({increased(metric, selector)})"


def mean(metric: str, selector: str) -> str:
    """Of a histogram or a summary, in the time range of the dashboard."""
    return f"{increased(f'{metric}_sum', selector)} / ({increased(f'{metric}_count', selector)} > 0)"


def letter(number: int) -> str:
    """The name of a panel's query, from A on."""
    return chr(ord("A") + number)


def over_time(given: Sequence[Query]) -> list[Builder[DataqueryModel]]:
    return [_query(each, number).range() for number, each in enumerate(given)]


def right_now(given: Sequence[Query]) -> list[Builder[DataqueryModel]]:
    return [_query(each, number).instant() for number, each in enumerate(given)]


def as_rows(given: Sequence[Query]) -> list[Builder[DataqueryModel]]:
    """For tables: a row for each series, a column for each label."""
    return [_query(each, number).instant().format(PromQueryFormat.TABLE) for number, each in enumerate(given)]


def _query(query: Query, number: int) -> Dataquery:
    made = Dataquery().datasource(SOURCE).expr(query.expr).legend_format(query.legend or "__auto")
    return made.ref_id(letter(number))


def lines(
    title: str, description: str, unit: str, *given: Query, width: int = 12, bars: bool = False
) -> timeseries.Panel:
    """Lines over time; ``bars``: stacked bars, for what happened in each interval."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).min(0).datasource(SOURCE)
    panel.targets(over_time(given)).span(width).height(8).line_width(2).show_points(VisibilityMode.NEVER)
    legend = VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel.legend(legend.placement(LegendPlacement.BOTTOM).calcs(["lastNotNull"]))
    if bars:
        panel.draw_style(GraphDrawStyle.BARS).fill_opacity(70).line_width(0).interval("1m")
        panel.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return panel.fill_opacity(70 if bars else 8)


def figure(
    title: str,
    description: str,
    unit: str,
    query: Query,
    width: int = 4,
    height: int = 4,
    steps: Steps = PLAIN,
    none: str = "-",
) -> stat.Panel:
    """The newest value, large; with a legend, its name instead (``query`` must then give one series)."""
    panel = stat.Panel().title(title).description(description).unit(unit).datasource(SOURCE).no_value(none)
    panel.targets(right_now([query])).span(width).height(height).thresholds(steps.build())
    panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    panel.graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.VALUE)
    return panel.text_mode(BigValueTextMode.NAME if query.legend else BigValueTextMode.VALUE)


def phase_number(selector: str, *labels: str) -> str:
    """The present phase as a number, for panels that colour it; ``labels`` are kept."""
    by = ", ".join(labels)
    return " or ".join(
        f'max by ({by}) (modelcache_phase{{{selector}, phase="{phase}"}} == 1) * {number}'
        for number, phase in enumerate(PHASES, start=1)
    )


def phase_mapping() -> list[ValueMapping]:
    named = {
        str(number): ValueMappingResult(text=phase, color=colour, index=number)
        for number, (phase, colour) in enumerate(PHASES.items(), start=1)
    }
    return [ValueMap(options=named)]


def phases_over_time(
    title: str, description: str, query: Query, height: int = 8, width: int = 24
) -> statetimeline.Panel:
    panel = statetimeline.Panel().title(title).description(description).unit(COUNT).datasource(SOURCE)
    panel.targets(over_time([query])).span(width).height(height).mappings(phase_mapping())
    panel.legend(VizLegendOptions().show_legend(False))
    return panel.show_value(VisibilityMode.AUTO).merge_values(True).row_height(0.8).line_width(0)
