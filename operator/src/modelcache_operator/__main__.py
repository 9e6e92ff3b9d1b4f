"""``python -m modelcache_operator``: see ``--help``."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelcache_operator.app.retry_timing import RetryTiming


def main(timing: RetryTiming | None = None) -> int:
    """Exit codes: 0 stopped, 1 cannot go on, 2 wrong usage."""
    # PID 1 of a container has no default handlers: without this one, a signal during the imports would be lost.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from init_sync.shell.flags import WrongSettings
    from modelcache_operator.app.settings import read_settings

    try:
        settings = read_settings(sys.argv[1:], os.environ)
    except WrongSettings as error:
        return error.tell("modelcache-operator")
    import asyncio  # these only now: --help need not load the clients

    from init_sync.shell import logs
    from modelcache_operator.app import process
    from modelcache_operator.app.retry_timing import RetryTiming
    from modelcache_operator.kube.connection import NoCluster

    logs.set_up(settings, "modelcache_operator")
    try:
        return asyncio.run(process.main(settings, timing or RetryTiming()))
    except (NoCluster, WrongSettings) as error:
        return WrongSettings([str(error)]).tell("modelcache-operator")


if __name__ == "__main__":
    sys.exit(main())
