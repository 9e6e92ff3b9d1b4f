"""`python -m inference.server` and the `multitalk-server` command."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Exit codes: 0 stopped as asked; 1 volume incomplete, model not loaded or address not bound; 2 wrong settings."""
    # PID 1 of a container has no default handlers: without this one, a signal during the imports would be lost.
    prepares = sys.argv[1:2] == ["prepare"]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1 if prepares else 0))
    from inference.server.config import read_config
    from init_sync.shell.flags import WrongSettings

    try:
        if prepares:
            from inference.server.prepared_copy.command import prepare, read_prepare_config

            return prepare(read_prepare_config(sys.argv[2:], os.environ))
        config = read_config(sys.argv[1:], os.environ)
        from inference.server.engines import follow_multitalk, load_multitalk  # these only now: --help need not load
        from inference.server.program import run  # the server
        from inference.server.volume import verify_receipts

        return run(config, os.environ, verify=verify_receipts, load=load_multitalk, follow=follow_multitalk)
    except WrongSettings as error:
        return error.tell("multitalk-server")


if __name__ == "__main__":
    sys.exit(main())
