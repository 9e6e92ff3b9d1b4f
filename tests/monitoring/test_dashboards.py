"""The dashboards: up to date with their code, whole, and shipped where Grafana's sidecar finds them.

That their expressions ask for what exists is checked in ``test_expressions``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

import dashboards
from dashboards import cache
from modelcache_operator.core.names import peers_name
from monitoring import sources
from monitoring.sources import Chart

Json = dict[str, Any]
GRAFANA_OWN = {"__rate_interval", "__range", "__interval", "__all", "__data", "__url_time_range"}


@pytest.fixture(params=sorted(dashboards.BOARDS))
def board(request: pytest.FixtureRequest) -> Json:
    return sources.boards()[request.param]


def panels(board: Json) -> list[Json]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_the_chart_ships_every_dashboard_and_nothing_else() -> None:
    assert set(dashboards.documents()) == set(dashboards.FOLDER.glob("*"))


def test_a_board_has_what_grafana_needs(board: Json) -> None:
    assert board["schemaVersion"] >= 39
    assert re.fullmatch(r"modelcache-[a-z]+", board["uid"])
    assert board["title"].startswith("Model cache / ")
    assert board["description"]
    assert "id" not in board, "the database's own number must not be shipped"


def test_uids_and_titles_are_unique() -> None:
    for field in ("uid", "title"):
        values = [board[field] for board in sources.boards().values()]
        assert len(set(values)) == len(values)


def test_every_panel_is_whole(board: Json) -> None:
    assert len(panels(board)) > 10
    for panel in panels(board):
        name = panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, name
        assert panel["description"].endswith("."), name
        assert panel["fieldConfig"]["defaults"]["unit"], name
        assert panel["targets"], name
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"], name
            assert target["expr"], name
            assert target["legendFormat"] != "", name
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), name


def test_several_lines_of_a_panel_are_told_apart(board: Json) -> None:
    for panel in panels(board):
        if panel["type"] == "timeseries":
            legends = [target["legendFormat"] for target in panel["targets"]]
            assert "__auto" not in legends, panel["title"]
            assert len(set(legends)) == len(legends), panel["title"]


@pytest.mark.parametrize("name", ["wan", "2b"])
def test_panels_choose_a_peer_server_by_the_name_of_its_pod(name: str) -> None:
    found = re.search(r'pod=~"(.+)"', cache.SERVER)
    assert found
    assert re.fullmatch(found[1].replace("$cache", name), peers_name(name))


def test_ids_are_unique(board: Json) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert all(each > 0 for each in ids)
    assert len(set(ids)) == len(ids)


def _cells(panel: Json) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    return {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}


def test_panels_lie_side_by_side_on_the_grid(board: Json) -> None:
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= 24, panel["title"]
    for one, other in combinations(board["panels"], 2):
        assert not _cells(one) & _cells(other), f"{one['title']} lies on {other['title']}"


def test_rows_are_filled_to_the_edge(board: Json) -> None:
    cells = set().union(*(_cells(panel) for panel in board["panels"]))
    bottom = max(y for _, y in cells)
    holes = {(x, y) for y in range(bottom) for x in range(24)} - cells
    assert not holes, f"holes at {sorted(holes)[:3]}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def test_variables_exist_and_are_used(board: Json) -> None:
    declared = {each["name"] for each in board["templating"]["list"]}
    assert "datasource" in declared
    used = {name for text in _texts(board) for name in re.findall(r"\$\{?(\w+)", text)} - GRAFANA_OWN
    assert used == declared


def test_links_lead_to_boards_that_exist() -> None:
    known = {board["uid"] for board in sources.boards().values()}
    linked = {
        uid for board in sources.boards().values() for text in _texts(board) for uid in re.findall(r"/d/([\w-]+)", text)
    }
    assert linked
    assert linked <= known


# As the chart ships them


def _maps(chart: Chart, apis: tuple[str, ...] = (), **changes: Any) -> list[Json]:
    return chart.objects("ConfigMap", {"monitoring": {"dashboards": changes}}, apis)


def test_each_board_is_in_a_config_map_that_the_sidecar_finds(chart: Chart) -> None:
    maps = _maps(chart, enabled=True)
    shipped = {name: json.loads(text) for each in maps for name, text in each["data"].items()}
    assert shipped == {f"modelcache-{name}.json": board for name, board in sources.boards().items()}
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in maps)
    assert len({each["metadata"]["name"] for each in maps}) == len(maps)


def test_boards_are_shipped_where_there_is_a_prometheus_operator_or_they_are_asked_for(chart: Chart) -> None:
    assert _maps(chart) == []
    assert len(_maps(chart, (sources.RULES,))) == len(dashboards.BOARDS)
    assert _maps(chart, (sources.RULES,), enabled=False) == []


def test_label_namespace_and_annotations_can_be_chosen(chart: Chart) -> None:
    chosen: Json = {"label": "board", "labelValue": "yes", "namespace": "grafana"}
    chosen["annotations"] = {"grafana_folder": "GPU"}
    for each in (made["metadata"] for made in _maps(chart, enabled=True, **chosen)):
        assert (each["labels"]["board"], each["namespace"]) == ("yes", "grafana")
        assert each["annotations"] == {"grafana_folder": "GPU"}
