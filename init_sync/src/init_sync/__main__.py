"""``python -m init_sync`` and the ``init-sync`` command."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    # PID 1 of a container has no default handlers: without this one, a signal during the imports would be lost.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    from init_sync.app.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
