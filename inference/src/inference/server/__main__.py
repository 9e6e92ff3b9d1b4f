"""`python -m inference.server` and the `multitalk-server` command."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the server; the exit codes are those of `cli`."""
    # PID 1 of a container has no default handlers: without this one, a signal during the imports would be lost.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from inference.server import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
