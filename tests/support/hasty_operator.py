"""``python -m support.hasty_operator``: the operator with shorter timing, and pods on loopback addresses.

Doubling and limits have tests of their own (tests/operator/test_workqueue.py).
"""

from __future__ import annotations

import sys

from modelcache_operator import __main__
from modelcache_operator.app.retry_timing import RetryTiming
from modelcache_operator.kube import progress


def main() -> int:
    progress.is_pod_address = lambda text: bool(text)
    return __main__.main(RetryTiming(first_retry_s=0.1, orphan_grace_s=2.0))


if __name__ == "__main__":
    sys.exit(main())
