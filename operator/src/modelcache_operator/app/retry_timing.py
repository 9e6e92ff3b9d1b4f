"""How long the operator lets things rest before it looks again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryTiming:
    """Seconds. Not settings: these are right for every cluster, and only tests are in a greater hurry."""

    first_retry_s: float = 1.0
    """After a call that failed; each further failure of the same cache doubles it."""
    longest_retry_s: float = 60.0
    outage_retry_s: float = 8.0
    """At most, while the API is away: an outage ends for all at once, and gates wait for that."""
    orphan_grace_s: float = 10.0
    """A chart may create the pod before the cache that it waits for."""
