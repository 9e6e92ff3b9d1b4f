"""What the demo prints: headings, lines with the time since the start, tables as ``kubectl get`` shows them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


class Screen:
    """Lines of several threads, each whole."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.began = time.monotonic()

    def heading(self, text: str) -> None:
        self._print(f"\n{BOLD}== {text}{PLAIN}")

    def command(self, text: str) -> None:
        self._print(f"{BOLD}$ {text}{PLAIN}")

    def at(self, text: str) -> None:
        """With the seconds since the start."""
        self._print(f"{DIM}{time.monotonic() - self.began:6.1f} s{PLAIN}  {text}")

    def block(self, text: str) -> None:
        self._print("\n".join(f"          {line}" for line in text.rstrip().splitlines()))

    def plain(self, text: str) -> None:
        self._print(text.rstrip())

    def _print(self, text: str) -> None:
        with self._guard:
            print(text, flush=True)


def cells(row: Mapping[str, Any]) -> list[str]:
    return ["" if each is None else str(each) for each in row["cells"]]


def table_text(table: Mapping[str, Any]) -> str:
    """An API server's Table, without the columns that only ``-o wide`` shows."""
    shown = [number for number, each in enumerate(table["columnDefinitions"]) if not each.get("priority")]
    header = [table["columnDefinitions"][number]["name"].upper() for number in shown]
    rows = [header, *([cells(row)[number] for number in shown] for row in table["rows"])]
    return "\n".join(aligned(rows))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
