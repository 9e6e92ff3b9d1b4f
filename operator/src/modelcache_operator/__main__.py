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
    from modelcache_operator.app.settings import WrongSettings, read_settings

    try:
        settings = read_settings(sys.argv[1:], os.environ)
    except WrongSettings as error:
        for line in str(error).splitlines():
            print(f"modelcache-operator: error: {line}", file=sys.stderr)
        return 2
    import asyncio  # these only now: --help need not load the clients

    from modelcache_operator.app import logs, process
    from modelcache_operator.app.retry_timing import RetryTiming
    from modelcache_operator.kube.connection import NoCluster

    logs.set_up(settings.log_format, settings.log_level)
    try:
        return asyncio.run(process.main(settings, timing or RetryTiming()))
    except (NoCluster, WrongSettings) as error:
        print(f"modelcache-operator: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
