"""The Grafana dashboards of the chart, written as code; ``make generated`` writes their JSON.

``fleet``, ``cache`` and ``inference`` hold one dashboard each, ``panels`` what they have in common. The JSON that
comes out is what the chart ships, and is never edited by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import cache, fleet, inference
from dashboards.panels import Board

FOLDER = Path(__file__).parents[2] / "charts/modelcache/dashboards"
BOARDS = {"fleet": fleet.board, "cache": cache.board, "inference": inference.board}


def documents() -> dict[Path, str]:
    """The text of each file of the chart's folder."""
    return {FOLDER / f"{name}.json": _text(make()) for name, make in BOARDS.items()}


def _text(board: Board) -> str:
    made = board.build()
    for number, panel in enumerate(made.panels or (), start=1):
        panel.id_val = number
    encoded = json.loads(JSONEncoder().encode(made))
    return json.dumps(encoded, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
