"""The table of all caches: its queries merged by cache, its columns named and ordered as the panel says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pictures.questions import Series, shown

Json = dict[str, Any]


def cells(panel: Json, answers: Mapping[str, Sequence[Series]], now_s: float) -> list[list[str]]:
    """The heading, then a row for each cache; ``answers`` by the letter of the query."""
    organized = next(each["options"] for each in panel["transformations"] if each["id"] == "organize")
    names = [
        name
        for name in sorted(organized["indexByName"], key=lambda each: int(organized["indexByName"][each]))
        if not organized["excludeByName"].get(name)
    ]
    titles = [organized["renameByName"].get(name, name) for name in names]
    units = _units(panel)
    return [
        titles,
        *(
            [_cell(row.get(name), units.get(title, "short"), now_s) for name, title in zip(names, titles, strict=True)]
            for row in _merged(answers).values()
        ),
    ]


def _merged(answers: Mapping[str, Sequence[Series]]) -> dict[tuple[str, str], dict[str, str | float]]:
    rows: dict[tuple[str, str], dict[str, str | float]] = {}
    for letter, found in answers.items():
        for series in found:
            row = rows.setdefault((series.labels["namespace"], series.labels["cache"]), {})
            row |= {**series.labels, f"Value #{letter}": series.last}
    return dict(sorted(rows.items()))


def _units(panel: Json) -> dict[str, str]:
    return {
        override["matcher"]["options"]: each["value"]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "unit"
    }


def _cell(value: str | float | None, unit: str, now_s: float) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if unit == "dateTimeFromNow":
        return f"{shown(round(now_s - value / 1000), 's')} ago"
    return shown(value, unit)
