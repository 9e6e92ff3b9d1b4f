"""`make pictures`: what is asked, named and written; what lies in docs/images. Drawing itself needs matplotlib."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.etree import ElementTree

import promql_parser
import pytest

from pictures import questions, recording, scraping
from pictures.panels import Asked
from pictures.questions import Series
from pictures.recording import Line

from .pages import ROOT, pages

Json = dict[str, Any]
FOLDER = ROOT / "docs/images"
BOARDS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "charts/modelcache/dashboards").glob("*.json")}
CHOSEN = {"namespace": ".+", "cache": ".+", "pod": ".+"}


class Prometheus:
    """It has one series for everything, but for what ``silent`` matches."""

    def __init__(self, silent: str = "^$") -> None:
        self.asked: list[str] = []
        self._silent = silent

    def _answer(self, expr: str, *points: tuple[float, float]) -> list[Series]:
        promql_parser.parse(expr)
        self.asked.append(expr)
        labels = {"namespace": "video", "cache": "qwen", "phase": "Ready", "reason": "Syncing"}
        return [] if re.search(self._silent, expr) else [Series(labels, points)]

    def range(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        return self._answer(expr, (start_s + step_s, 1.0), (end_s, 2.0))

    def instant(self, expr: str, at_s: float) -> list[Series]:
        return self._answer(expr, (at_s, 1.0))


# What lies there


def test_every_picture_is_small_and_shown_somewhere() -> None:
    files = sorted(FOLDER.iterdir())
    texts = "".join((ROOT / page.name).read_text() for page in pages())
    assert {path.name for path in files} >= {"demo.svg", *(f"{name}.png" for name in BOARDS)}
    assert [path.name for path in files if f"images/{path.name}" not in texts] == []
    assert [path.name for path in files if path.stat().st_size > 300_000] == []
    assert sum(path.stat().st_size for path in files) < 1_500_000


def test_the_recording_shows_the_demo_to_its_end_and_nothing_of_the_machine() -> None:
    text = (FOLDER / "demo.svg").read_text()
    assert "".join(ElementTree.fromstring(text).itertext()).count("fetched from the hub") == 1
    assert not re.search(r"/(tmp|home|root|work)\b", text)


# Questions


@pytest.mark.parametrize("name", BOARDS)
def test_every_question_of_a_board_can_be_asked(name: str) -> None:
    prometheus = Prometheus()
    rows = Asked(prometheus, 100, 160, CHOSEN).board(BOARDS[name])
    assert [row.title for row in rows] == [title for title, _ in questions.rows(BOARDS[name])]
    assert len(prometheus.asked) >= sum(len(row.panels) for row in rows)
    assert not [expr for expr in prometheus.asked if "$" in expr]
    assert any("[60s]" in expr for expr in prometheus.asked)


def test_rows_without_data_are_left_out_and_times_count_from_the_start() -> None:
    (name,) = (name for name, board in BOARDS.items() if "Peer server" in json.dumps(board))
    rows = Asked(Prometheus(silent="serve_"), 100, 160, CHOSEN).board(BOARDS[name])
    assert "Peer server" not in [row.title for row in rows]
    graph = next(panel for row in rows for panel in row.panels if panel.kind == "timeseries")
    assert graph.series[0][1].points == ((1, 1.0), (60, 2.0))


def test_the_table_has_a_row_for_each_cache_and_units_by_column() -> None:
    rows = Asked(Prometheus(), 1000, 1060, CHOSEN).board(BOARDS["fleet"])
    heading, row = next(panel.cells for row in rows for panel in row.panels if panel.kind == "table")
    told = dict(zip(heading, row, strict=True))
    assert heading[:3] == ["Namespace", "Cache", "Phase"]
    assert (told["Cache"], told["Phase"], told["Present"], told["Stalled"]) == ("qwen", "Ready", "100%", "Yes")
    assert told["Verified"] == "17.7 min ago", "a moment in milliseconds"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{namespace}}/{{pod}}", "video/p"),
        ("{{model}} needed", "needed"),
        ("{{pod}} ", "p"),
        ("__auto", "namespace=video, pod=p"),
    ],
)
def test_a_legend_names_a_series_by_its_labels(text: str, name: str) -> None:
    assert questions.legend(text, {"__name__": "m", "namespace": "video", "pod": "p"}) == name


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.42, "percentunit", "42%"),
        (1, "bool_yes_no", "Yes"),
        (0.25, "s", "250 ms"),
        (300, "s", "5 min"),
        (2048, "bytes", "2 KiB"),
        (1023, "bytes", "1023 B"),
        (3 * 2**40, "binBps", "3072 GiB/s"),
        (0.5, "ops", "0.5 ops/s"),
        (1500, "short", "1.5 K"),
        (0, "short", "0"),
    ],
)
def test_values_are_written_in_their_unit(value: float, unit: str, text: str) -> None:
    assert questions.shown(value, unit) == text


@pytest.mark.parametrize(
    ("top", "unit", "step"), [(7, "short", 2), (4, "short", 1), (900, "bytes", 256), (1, "s", 0.25)]
)
def test_an_axis_has_at_most_four_lines_at_round_values(top: float, unit: str, step: float) -> None:
    assert questions.tick(top, unit) == step


@pytest.mark.parametrize(("value", "colour"), [(0, "green"), (1, "orange"), (5, "orange")])
def test_a_figure_has_the_colour_of_the_highest_threshold_it_reached(value: float, colour: str) -> None:
    steps: list[Json] = [{"color": "green", "value": None}, {"color": "orange", "value": 1}]
    assert questions.colour(value, steps) == colour


def test_no_line_is_drawn_across_missing_values() -> None:
    points = questions.with_gaps(((0, 1), (1, 2), (9, 3)), 1)
    assert [time for time, _ in points] == [0, 1, 2, 9]
    assert math.isnan(points[2][1])


# Targets


def pod(labels: Json, port: Json, **status: Any) -> Json:
    return {
        "metadata": {"name": "p", "namespace": "video", "labels": labels},
        "spec": {"containers": [{"ports": [{"name": "other", "containerPort": 1}, port]}]},
        "status": {"podIP": "127.0.0.9", "phase": "Running"} | status,
    }


OPERATOR = pod({"app.kubernetes.io/component": "operator"}, {"name": "metrics", "containerPort": 8080})
PODS = {
    "an operator": (OPERATOR, "modelcache-operator"),
    "a sync": (pod({"modelcache.dev/generation": "1"}, {"name": "metrics", "containerPort": 8080}), "modelcache-sync"),
    "a server": (
        pod({"app.kubernetes.io/component": "inference"}, {"name": "http", "containerPort": 8080}),
        "multitalk",
    ),
    "a pod that ended": (OPERATOR | {"status": {"podIP": "127.0.0.9", "phase": "Succeeded"}}, None),
    "a pod without an address": (OPERATOR | {"status": {"phase": "Running"}}, None),
    "a pod of others": (pod({}, {"name": "metrics", "containerPort": 8080}), None),
}


@pytest.mark.parametrize(("given", "job"), PODS.values(), ids=PODS)
def test_pods_are_scraped_as_the_documents_say(given: Json, job: str | None) -> None:
    labels = {"job": job, "namespace": "video", "pod": "p"}
    assert scraping.targets([given]) == ([{"targets": ["127.0.0.9:8080"], "labels": labels}] if job else [])


def test_the_jobs_are_those_of_the_documented_configuration() -> None:
    documented = re.findall(r"job_name: (\S+)", (ROOT / "docs/monitoring.md").read_text())
    assert set(scraping.JOBS) < set(documented)


# The recording


def test_a_recording_shortens_pauses_and_is_sped_up_as_a_whole() -> None:
    lines = [Line(5, "a"), Line(6, "b"), Line(1000, "c"), Line(1000, "d")]
    assert [line.at_s for line in recording.sped_up(lines)] == [0, 1, 1 + recording.PAUSE_S, 1 + recording.PAUSE_S]
    long = recording.sped_up([Line(second, "a") for second in range(100)])
    assert long[-1].at_s == pytest.approx(recording.TOTAL_S)


def test_lines_are_wrapped_as_a_terminal_does() -> None:
    assert [len(line.text) for line in recording.split(1, f"\n{'x' * 250}\n")] == [0, 120, 120, 10, 0]


def test_a_recording_is_valid_and_moves_up_line_by_line() -> None:
    text = recording.svg([Line(0, "$ a < b"), Line(1, "   1.0 s  c"), Line(1, "d")])
    assert [each.strip() for each in ElementTree.fromstring(text).itertext() if each.strip()][1:] == [
        *("$ a < b", "1.0 s", "c", "d"),
    ]
    heights = [int(found) for found in re.findall(r"% {.*translateY\((-?\d+)px", text)]
    assert heights == [(recording.ROWS - shown) * recording.HEIGHT for shown in (1, 3, 3)]
