"""``python -m init_sync`` and the ``init-sync`` command."""

from __future__ import annotations

import gc
import os
import signal
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    # PID 1 of a container has no default handlers: without this one, a signal during the imports would be lost.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    gc.disable()  # a warm start ends before a collection could free anything; a run with work to do switches it on
    from init_sync.app.cli import run

    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to do, and taking the interpreter down takes a tenth of a warm start


if __name__ == "__main__":
    main()
