"""Which finished jobs are dropped. Pure; `job_table` removes them and `scratch` removes their files.

Rules, in this order:
- expired jobs are dropped, whatever their status;
- of the rest, the newest `max_results` are kept;
- of these, the oldest videos are dropped until all results together fit into `max_bytes`; the newest video is always
  kept, or one that is larger than the budget could never be downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from inference.server.jobs import Job


@dataclass(frozen=True, slots=True)
class Retention:
    """How long, how many and how much."""

    ttl_s: float
    max_results: int
    max_bytes: int


def expired(job: Job, now: float) -> bool:
    return job.expires_at is not None and job.expires_at <= now


def surplus(finished: Iterable[Job], rule: Retention, now: float) -> list[Job]:
    """Choose the finished jobs to drop."""
    newest_first = sorted(finished, key=lambda job: (job.finished_at or 0.0, job.id), reverse=True)
    dropped: list[Job] = []
    kept = kept_bytes = 0
    for job in newest_first:
        over_budget = bool(job.size_bytes and kept_bytes) and kept_bytes + job.size_bytes > rule.max_bytes
        if expired(job, now) or kept >= rule.max_results or over_budget:
            dropped.append(job)
            continue
        kept += 1
        kept_bytes += job.size_bytes
    return dropped
