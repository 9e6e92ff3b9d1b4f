"""What spec.gate.leadTime brings, as the table of docs/scheduling.md: ``make simulate-lead-time``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.lead_time import HEAD, LENGTHS_S, LINES, row

if __name__ == "__main__":
    print(HEAD)
    for line in LINES:
        for length_s in LENGTHS_S:
            print(row(line, length_s), flush=True)
