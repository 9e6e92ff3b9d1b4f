"""``python -m support.hasty_operator``: the operator with shorter timing, and pods on loopback addresses.

Doubling and limits have tests of their own (tests/operator/test_workqueue.py).
"""

from __future__ import annotations

import sys

from modelcache_operator import __main__
from modelcache_operator.app.retry_timing import RetryTiming
from modelcache_operator.core import lead_time
from modelcache_operator.kube import progress


def main() -> int:
    progress.is_pod_address = lambda text: bool(text)
    lead_time.ENOUGH_S, lead_time.WINDOWS_S, lead_time.HOLD_S, lead_time.APART_S = 1.0, (0.5, 2.0), 0.5, 0.1
    return __main__.main(RetryTiming(first_retry_s=0.1, orphan_grace_s=2.0))


if __name__ == "__main__":
    sys.exit(main())
