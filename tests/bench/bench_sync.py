"""``make bench-sync``: the sync against other clients, side by side on one machine, in turns.

Every row is a ratio within one run: the clients take turns, each figure is the best of its rounds (the machine's other
work can only add time), and the row says what the target is and whether it was met. The hub is the local one, in a
process of its own; client and hub share the machine's cores, as they share nothing in real life.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.many_files import seven_files, silence, small_files
from bench.measure import machine
from bench.page import publish
from bench.scenarios import Bench, Row, capped_connection, four_files, killed_half_way, warm_start
from bench.upkeep import prune, scrub

TITLE = "Sync"
PARTS = ("memory", "disk", "capped", "seven", "small", "silence", "warm", "kill", "scrub", "prune")


def main() -> int:
    options = _options()
    memory = Path("/dev/shm") if shutil.disk_usage("/dev/shm").free > 10 << 30 else None
    with tempfile.TemporaryDirectory(dir=memory) as fast, tempfile.TemporaryDirectory(dir=options.disk) as slow:
        bench = Bench(Path(fast), Path(slow), options.rounds, options.size_mib << 20)
        rows = _rows(bench, options.only)
        page = _page(rows, machine({"memory": Path(fast), "disk": Path(slow)}), options)
    publish(page, TITLE, options.write)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each client (default: 5)")
    parser.add_argument("--size-mib", type=int, default=1024, help="size of the large files (default: 1024)")
    parser.add_argument("--disk", type=Path, default=Path.cwd(), help="a folder on a disk (default: here)")
    parser.add_argument("--only", choices=PARTS, help="just one part")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this page's chapter about the sync")
    return parser.parse_args()


def _rows(bench: Bench, only: str | None) -> list[Row]:
    parts: dict[str, Callable[[], list[Row]]] = {
        "memory": lambda: four_files(bench, on_disk=False),
        "disk": lambda: four_files(bench, on_disk=True),
        "capped": lambda: capped_connection(bench),
        "seven": lambda: seven_files(bench),
        "small": lambda: small_files(bench),
        "silence": lambda: silence(bench),
        "warm": lambda: warm_start(bench),
        "kill": lambda: killed_half_way(bench),
        "scrub": lambda: scrub(bench),
        "prune": lambda: prune(bench),
    }
    rows: list[Row] = []
    for name, part in parts.items():
        if only in (None, name):
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            rows += part()
    return rows


def _page(rows: list[Row], where: str, options: argparse.Namespace) -> str:
    lines = [
        f"Machine: {where}. Command: `make bench-sync` ({options.rounds} rounds, best of each).",
        "",
        "| what | init-sync | other | ratio | target | met |",
        "| --- | --- | --- | --- | --- | --- |",
        *(row.line() for row in rows),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
