"""The jobs of this process by id. Not thread-safe: `JobQueue` holds the lock.

Ids sort by age (`video_` + nanoseconds + random), so a list can continue after an id that was deleted meanwhile. A job
that has expired is hidden from clients at once; its files stay until the next `sweep`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from inference.server.forecast import Forecast, forecast, pace_of
from inference.server.jobs import Clip, Job, JobError
from inference.server.retention import Retention, expired, surplus


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list."""

    jobs: tuple[Job, ...]
    has_more: bool


class JobTable:
    """Every job that was submitted and is not yet forgotten."""

    def __init__(self, retention: Retention, clock: Callable[[], float]) -> None:
        self._retention = retention
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._last_ns = 0
        self._pace: float | None = None

    def new_id(self) -> str:
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        return f"video_{self._last_ns:016x}{secrets.token_hex(6)}"

    def put(self, job: Job) -> Job:
        self._jobs[job.id] = job
        return job

    def restore(self, jobs: Iterable[Job]) -> None:
        """Know the finished jobs of a former process; later ids stay above theirs, whatever the clock says."""
        for job in jobs:
            self.put(job)
            self._last_ns = max(self._last_ns, int(job.id[6:22], 16))

    def end(self, job: Job, outcome: Clip | JobError | None) -> Job:
        """Completed with a clip, failed with an error, or cancelled."""
        now, ttl_s = self._clock(), self._retention.ttl_s
        match outcome:
            case Clip():
                done = job.completed(outcome, now, ttl_s)
                self._pace = pace_of(done) or self._pace
                return self.put(done)
            case JobError():
                return self.put(job.failed(outcome, now, ttl_s))
            case None:
                return self.put(job.cancelled(now, ttl_s))

    def get(self, video_id: str) -> Job | None:
        return self._jobs.get(video_id)

    def visible(self, video_id: str) -> Job | None:
        job = self._jobs.get(video_id)
        return None if job is None or expired(job, self._clock()) else job

    def forecast(self, new: Job | float, ahead: Iterable[str]) -> Forecast:
        """Where a job stands behind those `ahead`, or one of so much work that is not submitted yet."""
        return forecast(new, [self._jobs[key] for key in ahead if key in self._jobs], self._pace, self._clock())

    def remove(self, video_id: str) -> None:
        del self._jobs[video_id]

    def page(self, after: str | None, limit: int, order: Literal["asc", "desc"]) -> Page:
        now = self._clock()
        ids = sorted((key for key, job in self._jobs.items() if not expired(job, now)), reverse=order == "desc")
        if after is not None:
            ids = [key for key in ids if (key > after if order == "asc" else key < after)]
        return Page(tuple(self._jobs[key] for key in ids[:limit]), has_more=len(ids) > limit)

    def sweep(self, in_use: str | None) -> list[Job]:
        """Remove and return the finished jobs that retention drops, except one that the engine still uses."""
        finished = (job for job in self._jobs.values() if job.finished and job.id != in_use)
        dropped = surplus(finished, self._retention, self._clock())
        for job in dropped:
            del self._jobs[job.id]
        return dropped

    def result_bytes(self) -> int:
        return sum(job.size_bytes for job in self._jobs.values())
