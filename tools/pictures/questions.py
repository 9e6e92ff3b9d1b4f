"""What a dashboard asks, as Prometheus is asked for it: variables are filled in, legends and units written out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Json = dict[str, Any]
RATE_INTERVAL_S = 10
"""Grafana takes at least four scrapes."""
LABEL = re.compile(r"{{(\w+)}}")


@dataclass(frozen=True, slots=True)
class Series:
    """Labels, and pairs of time and value."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]

    def since(self, start_s: float) -> Series:
        """With times that count from then on."""
        return Series(self.labels, tuple((time_s - start_s, value) for time_s, value in self.points))


def expression(expr: str, variables: Mapping[str, str], range_s: float) -> str:
    own = {"__rate_interval": f"{RATE_INTERVAL_S}s", "__range": f"{round(range_s)}s"}
    for name, value in {**own, **variables}.items():
        expr = expr.replace(f"${name}", value)
    return expr


def legend(text: str, labels: Mapping[str, str]) -> str:
    """``__auto`` is the labels themselves."""
    if text == "__auto":
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
    return LABEL.sub(lambda found: labels.get(found[1], ""), text).strip()


def whole_intervals(passed_s: float) -> float:
    """Rounded up, so that the last bar is there."""
    return math.ceil(passed_s / RATE_INTERVAL_S) * RATE_INTERVAL_S


def rows(board: Json) -> list[tuple[str, list[Json]]]:
    """The dashboard's rows with their panels, in its order."""
    found: list[tuple[str, list[Json]]] = []
    for panel in board["panels"]:
        if panel["type"] == "row":
            found.append((panel["title"], []))
        else:
            found[-1][1].append(panel)
    return found


def shown(value: float, unit: str) -> str:
    """As Grafana writes a value of this unit, more or less."""
    match unit:
        case "percentunit":
            return f"{100 * value:.3g}%"
        case "bool_yes_no":
            return "Yes" if value else "No"
        case "s":
            return _seconds(value)
        case "bytes" | "binBps":
            return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB")) + ("/s" if unit == "binBps" else "")
        case "ops":
            return f"{value:.3g} ops/s"
    return _scaled(value, 1000, ("", "K", "M"))


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 90 else f"{value / 60:.3g} min"


def _scaled(value: float, step: int, names: tuple[str, ...]) -> str:
    number = 0
    while abs(value) >= step and number < len(names) - 1:
        value, number = value / step, number + 1
    return f"{value:.{3 if value < 1000 else 4}g} {names[number]}".strip()


def colour(value: float, steps: list[Json]) -> str:
    """Of the highest threshold that the value has reached."""
    return str([each["color"] for each in steps if each["value"] is None or value >= each["value"]][-1])


def tick(top: float, unit: str) -> float:
    """Between two lines of an axis up to ``top``: at most four, at round values of the unit."""
    if unit in ("bytes", "binBps"):
        return 2.0 ** math.ceil(math.log2(top / 4))
    power = 10.0 ** math.floor(math.log10(top / 4))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= top / 4)


def with_gaps(points: Sequence[tuple[float, float]], step_s: float) -> list[tuple[float, float]]:
    """The same with a NaN where values are missing, so that no line is drawn across."""
    found = list(points[:1])
    for before, after in pairwise(points):
        if after[0] - before[0] > 1.5 * step_s:
            found.append((before[0] + step_s, math.nan))
        found.append(after)
    return found
