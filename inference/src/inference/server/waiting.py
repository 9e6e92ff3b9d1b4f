"""When a full queue has room again. Pure.

A place becomes free when the running video ends, or when an upload is refused. The running video's progress tells the
time that it needs; before there is any, the last video's time is all that is known.
"""

from __future__ import annotations

import math

from inference.server.jobs import Job

LEAST_S = 1
UNKNOWN_S = 30.0
"""For the first video of a server, before its first step is done."""
MARGIN = 1.1
"""Progress counts steps; decoding the last frames comes after them."""


def retry_after_s(running: Job | None, last_took_s: float, upload_s: float, now: float) -> int:
    """Seconds; `upload_s` is how long an upload that stands still keeps its place."""
    if running is None or running.started_at is None:
        return max(LEAST_S, math.ceil(upload_s))
    elapsed = max(0.0, now - running.started_at)
    if running.progress:
        left = elapsed * (100 - running.progress) / running.progress * MARGIN
    elif last_took_s > elapsed:
        left = last_took_s - elapsed
    else:
        left = last_took_s or UNKNOWN_S
    return max(LEAST_S, math.ceil(left))
