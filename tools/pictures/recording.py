"""A terminal recording as an animated SVG: the lines that were printed, and one animation that moves them up.

Text stays text, so that a minute of terminal is a few kilobytes. Pauses longer than ``PAUSE_S`` are shortened before
all of it is sped up to ``TOTAL_S``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

COLUMNS, ROWS = 120, 30
TOTAL_S, PAUSE_S, END_S = 20.0, 1.5, 3.0
"""Of the recording; of one pause in it; how long the end stays."""
WIDTH, HEIGHT, MARGIN = 7.85, 18, 14
"""Of a character, of a line, around the text, in pixels."""
TIME = re.compile(r"^ *\d+\.\d s(?=  )")

STYLE = """\
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #d8dee9; white-space: pre }
.b { font-weight: bold; fill: #ffffff } .d { fill: #7b8794 }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """When it was printed, and its text."""

    at_s: float
    text: str


def split(at_s: float, text: str) -> list[Line]:
    """What was printed at once, as lines of the terminal."""
    return [Line(at_s, part) for line in text.split("\n") for part in wrapped(line)]


def wrapped(line: str) -> list[str]:
    return [line[start : start + COLUMNS] for start in range(0, len(line), COLUMNS)] or [""]


def sped_up(lines: Sequence[Line]) -> list[Line]:
    """The same lines from 0 to at most ``TOTAL_S``."""
    times = [0.0]
    for before, after in pairwise(lines):
        times.append(times[-1] + min(after.at_s - before.at_s, PAUSE_S))
    faster = min(1.0, TOTAL_S / times[-1]) if times[-1] else 1.0
    return [Line(time * faster, line.text) for time, line in zip(times, lines, strict=True)]


def svg(lines: Sequence[Line]) -> str:
    """``lines`` with times of the recording; the newest is at the bottom of the window."""
    width, height = COLUMNS * WIDTH + 2 * MARGIN, ROWS * HEIGHT + 2 * MARGIN
    texts = "\n".join(_text(number, line.text) for number, line in enumerate(lines) if line.text)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}">
<style>
{STYLE}{_animation(lines)}</style>
<rect width="100%" height="100%" rx="8" fill="#1d232d"/>
<svg x="{MARGIN}" y="{MARGIN}" width="{COLUMNS * WIDTH:.0f}" height="{ROWS * HEIGHT}">
<g class="all">
{texts}
</g>
</svg>
</svg>
"""


def _animation(lines: Sequence[Line]) -> str:
    """Steps of one animation, each from the moment at which a line appears."""
    length = lines[-1].at_s + END_S
    shown = {line.at_s: number for number, line in enumerate(lines, start=1)}
    steps = "".join(
        f"{at_s / length:.3%} {{ transform: translateY({(ROWS - number) * HEIGHT}px) }}\n"
        for at_s, number in shown.items()
    )
    still = f"transform: translateY({(ROWS - len(lines)) * HEIGHT}px)"
    return (
        f"@keyframes up {{\n{steps}100% {{ {still} }}\n}}\n"
        f".all {{ {still}; animation: up {length:.1f}s step-end infinite }}\n"
        "@media (prefers-reduced-motion) { .all { animation: none } }\n"
    )


def _text(number: int, text: str) -> str:
    y = number * HEIGHT + 13
    if text.startswith(("== ", "$ ")):
        return f'<text y="{y}" class="b">{escape(text)}</text>'
    if time := TIME.match(text):
        return f'<text y="{y}"><tspan class="d">{time[0]}</tspan>{escape(text[time.end() :])}</text>'
    return f'<text y="{y}">{escape(text)}</text>'
