"""``make demo``, and ``make demo KEEP=1``, which leaves everything up until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from support.demo.signals import catch_signals

INTERRUPTED = 130


def main() -> int:
    """Exit codes: 0, 1 something was not as promised, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="make demo", description="The whole loop on this machine, without a cluster.")
    parser.add_argument("--keep", action="store_true", help="leave it up, and print lines to try")
    options = parser.parse_args()
    catch_signals()
    try:
        from support.demo.show import show  # takes a second, in which somebody may change their mind

        return show(options.keep)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
