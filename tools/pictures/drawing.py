"""One dashboard as a picture: its panels on its own grid, drawn with matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from PIL import Image

from pictures.panels import Panel, Row
from pictures.questions import RATE_INTERVAL_S, colour, shown, tick, with_gaps

Json = dict[str, Any]
WIDTH, CELL, GAP, HEADING, DPI = 1200, 27, 3, 26, 100
"""Pixels: of the picture, of a step of the grid downwards, around a panel, of a row's title; for an inch."""
LEGENDS, LEGEND = 3, 14
"""At most so many lines of a legend, each so high."""
PAGE, GROUND, TEXT, FAINT = "#111217", "#1b1e24", "#d5d7de", "#7c8290"
COLOURS = {
    "green": "#73bf69",
    "blue": "#5794f2",
    "orange": "#ff9830",
    "red": "#f2495c",
    "super-light-yellow": "#fff899",
    "text": TEXT,
}
LINES = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0")


def draw(rows: Sequence[Row], path: Path) -> None:
    heights = [HEADING + CELL * row.height for row in rows]
    picture = _Picture(sum(heights))
    top = 0
    for row, height in zip(rows, heights, strict=True):
        picture.write(GAP + 4, top + HEADING / 2, row.title, size=10, weight="bold")
        for panel in row.panels:
            picture.panel(panel, top + HEADING + CELL * (panel.y - row.y))
        top += height
    picture.save(path)


class _Picture:
    def __init__(self, height: int) -> None:
        self._height = height
        self._figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=PAGE)

    def save(self, path: Path) -> None:
        """With a palette, which makes a third of it."""
        drawn = io.BytesIO()
        self._figure.savefig(drawn, format="png", facecolor=PAGE)
        Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """``y`` from the top."""
        style = {"color": TEXT, "va": "center", **style}
        self._figure.text(x / WIDTH, 1 - y / self._height, text, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        box = (x / WIDTH, 1 - (y + height) / self._height, width / WIDTH, height / self._height)
        axes = self._figure.add_axes(box, facecolor=GROUND)
        axes.tick_params(colors=FAINT, labelsize=7, length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def panel(self, panel: Panel, top: float) -> None:
        x, y = WIDTH * panel.x / 24 + GAP, top + GAP
        width, height = WIDTH * panel.width / 24 - 2 * GAP, CELL * panel.height - 2 * GAP
        self.axes(x, y, width, height).set(xticks=[], yticks=[])
        self.write(x + 7, y + 11, panel.title, size=8, weight="bold")
        match panel.kind:
            case "stat":
                self._stat(panel, x + width / 2, y + height / 2 + 8)
            case "table":
                self._table(panel.cells, x, y + 22, width)
            case _ if not panel.series:
                self.write(x + width / 2, y + height / 2, "No data", size=9, ha="center", color=FAINT)
            case "state-timeline":
                self._phases(panel, self.axes(x + 130, y + 26, width - 140, height - 48))
            case _:
                below = 22 + LEGEND * min(len(panel.series), LEGENDS)
                self._lines(panel, self.axes(x + 58, y + 26, width - 70, height - 30 - below))
                self._legend(panel, x + 12, y + height - below + 20, width)

    def _stat(self, panel: Panel, x: float, y: float) -> None:
        if not panel.series:
            self.write(x, y, panel.none, size=15, ha="center", color=FAINT)
            return
        name, series = panel.series[0]
        text = name if panel.shows_name else shown(series.last, panel.unit)
        self.write(x, y, text, size=15, ha="center", color=COLOURS[colour(series.last, panel.steps)])

    def _table(self, cells: Sequence[Sequence[str]], x: float, y: float, width: float) -> None:
        widths = [max(map(len, column)) + 2 for column in zip(*cells, strict=True)]
        step = (width - 16) / sum(widths)
        for down, row in enumerate(cells):
            style: Json = {"weight": "bold", "color": COLOURS["blue"]} if down == 0 else {}
            for left, text in zip(accumulate(widths, initial=0), row, strict=False):
                self.write(x + 8 + left * step, y + 12 + down * 22, text, size=8, **style)

    def _phases(self, panel: Panel, axes: Axes) -> None:
        for number, (_, series) in enumerate(panel.series):
            for value, points in groupby(series.points, key=lambda point: point[1]):
                first, *_, (end, _) = [*points] * 2
                known = panel.mapping[str(int(value))]
                axes.broken_barh([(first[0], end + 1 - first[0])], (number - 0.4, 0.8), color=COLOURS[known["color"]])
                axes.text(first[0] + 0.5, number, known["text"], size=7, va="center", color=PAGE, clip_on=True)
        axes.set_yticks(range(len(panel.series)), [name for name, _ in panel.series])
        axes.invert_yaxis()
        self._times(panel, axes)

    def _lines(self, panel: Panel, axes: Axes) -> None:
        below: dict[float, float] = {}
        for number, (_, series) in enumerate(panel.series):
            times, values = zip(*with_gaps(series.points, RATE_INTERVAL_S if panel.bars else 1), strict=True)
            tint = LINES[number % len(LINES)]
            if panel.bars:
                ground = [below.get(time, 0.0) for time in times]
                axes.bar(times, values, RATE_INTERVAL_S * 0.8, ground, color=tint, alpha=0.8)
                below |= {time: low + value for time, low, value in zip(times, ground, values, strict=True)}
            else:
                axes.plot(times, values, color=tint, linewidth=1.3, marker="." if len(times) == 1 else None)
        axes.grid(axis="y", color="#2c313a", linewidth=0.6)
        axes.set_axisbelow(True)
        highest = max(
            (value for _, series in panel.series for _, value in series.points if not math.isnan(value)), default=0
        )
        axes.set_ylim(0, axes.get_ylim()[1] if highest > 0 else 1)
        axes.yaxis.set_major_locator(MultipleLocator(tick(axes.get_ylim()[1], panel.unit)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, panel.unit)))
        self._times(panel, axes)

    def _times(self, panel: Panel, axes: Axes) -> None:
        axes.set_xlim(0, panel.length_s)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{int(time) // 60}:{int(time) % 60:02}"))

    def _legend(self, panel: Panel, x: float, y: float, width: float) -> None:
        most = int(width / 5.6)
        hidden = len(panel.series) - LEGENDS
        for number, (name, series) in enumerate(panel.series[:LEGENDS]):
            text = f"{name}  {shown(series.last, panel.unit)}"
            if hidden > 0 and number == LEGENDS - 1:
                text += f"  and {hidden} more"
            down = y + number * LEGEND
            self.write(x, down, "-", size=11, weight="bold", color=LINES[number % len(LINES)])
            self.write(x + 12, down, text if len(text) <= most else f"...{text[3 - most :]}", size=7)
