"""The job queue: which jobs wait, which one runs. The only object that several threads share.

At most `max_jobs` jobs are unfinished at any time; a reservation (an upload that is arriving), a waiting job and the
running job count as one each. Beyond that a request is refused at once. A cancelled job counts until the engine has
returned.

Nothing is written to disk: after a restart nothing waits. Files, and records of finished videos, belong to `scratch`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from inference.server.forecast import Forecast
from inference.server.job_table import JobTable, Page
from inference.server.jobs import SHUTTING_DOWN, CheckedRequest, Clip, Job, JobError, Status
from inference.server.retention import Retention


class QueueFull(Exception):
    """`max_jobs` jobs are unfinished."""


class QueueClosed(Exception):
    """The server is stopping and accepts nothing new."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """A deleted or cancelled job as it was, and whether its files can be removed (the engine may still use them)."""

    before: Job
    files_free: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How full the queue is."""

    waiting: int
    running: int
    reserved: int
    result_bytes: int

    @property
    def unfinished(self) -> int:
        return self.waiting + self.running + self.reserved


class JobQueue:
    """Thread-safe. Every method returns at once, except `take` and `wait`."""

    def __init__(self, *, max_jobs: int, retention: Retention, clock: Callable[[], float] = time.time) -> None:
        self.max_jobs = max_jobs
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs = JobTable(retention, clock)
        self._waiting: deque[str] = deque()
        self._reserved: set[str] = set()
        self._running: str | None = None
        self._closed = False

    def restore(self, jobs: Iterable[Job]) -> None:
        """Know the finished jobs of a former process."""
        with self._changed:
            self._jobs.restore(jobs)

    def reserve(self) -> str:
        """Count one more job and return its id; raises `QueueFull` or `QueueClosed`."""
        with self._changed:
            if self._closed:
                raise QueueClosed
            if self._counts().unfinished >= self.max_jobs:
                raise QueueFull
            video_id = self._jobs.new_id()
            self._reserved.add(video_id)
            return video_id

    def release(self, video_id: str) -> None:
        """Give up the reservation of a request that was refused."""
        with self._changed:
            self._reserved.discard(video_id)
            self._changed.notify_all()

    def submit(self, video_id: str, request: CheckedRequest) -> Job:
        """Turn a reservation into a waiting job; raises `QueueClosed` if the server began to stop meanwhile."""
        with self._changed:
            self._reserved.remove(video_id)
            if self._closed:
                raise QueueClosed
            self._waiting.append(video_id)
            self._changed.notify_all()
            return self._jobs.put(Job(video_id, request, created_at=self._clock()))

    def take(self) -> Job | None:
        """Block until a job waits, and start it; None once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            video_id = self._running = self._waiting.popleft()
            job = self._jobs.get(video_id)
            assert job is not None
            return self._jobs.put(job.started(self._clock()))

    def in_progress(self, video_id: str) -> bool:
        """False once the running job was cancelled, aborted or deleted."""
        with self._changed:
            job = self._jobs.get(video_id)
            return job is not None and job.status is Status.IN_PROGRESS

    def advance(self, video_id: str, fraction: float) -> None:
        with self._changed:
            if job := self._jobs.get(video_id):
                self._jobs.put(job.advanced(fraction))

    def finish(self, video_id: str, outcome: Clip | JobError | None, part: Clip | None = None) -> Job | None:
        """The engine has returned: a clip, an error, or None for cancelled; the last two perhaps with a part.

        Returns the job, None if it was deleted.
        """
        with self._changed:
            self._running = None
            job = self._jobs.get(video_id)
            if job is not None:
                job = self._jobs.end(job, outcome)
                job = job if part is None else self._jobs.put(job.with_part(part))
            self._changed.notify_all()
            return job

    def discard(self, video_id: str) -> Discarded | None:
        """DELETE: an unfinished job is cancelled and stays in the list, a finished one is removed from it."""
        with self._changed:
            job = self._jobs.visible(video_id)
            if job is None:
                return None
            if job.finished:
                self._jobs.remove(video_id)
            else:
                self._jobs.end(job, None)
            if job.status is Status.QUEUED:
                self._waiting.remove(video_id)
            self._changed.notify_all()
            return Discarded(job, files_free=video_id != self._running)

    def get(self, video_id: str) -> Job | None:
        with self._changed:
            return self._jobs.visible(video_id)

    def forecast(self, job: Job) -> Forecast | None:
        """Where an unfinished job stands; None for a finished one."""
        with self._changed:
            order = self._order()
            if job.finished or job.id not in order:
                return None
            return self._jobs.forecast(job, order[: order.index(job.id)])

    def forecast_new(self, work: float) -> Forecast:
        """Where a job of so much work would stand if it were submitted now."""
        with self._changed:
            return self._jobs.forecast(work, self._order())

    def mark_fetched(self, video_id: str) -> None:
        with self._changed:
            if job := self._jobs.get(video_id):
                self._jobs.put(replace(job, fetched=True))
            self._changed.notify_all()

    def page(self, *, after: str | None, limit: int, order: Literal["asc", "desc"]) -> Page:
        with self._changed:
            return self._jobs.page(after, limit, order)

    def sweep(self) -> list[Job]:
        """Remove and return the finished jobs that retention drops."""
        with self._changed:
            return self._jobs.sweep(in_use=self._running)

    def counts(self) -> Counts:
        with self._changed:
            return self._counts()

    def close(self) -> list[Job]:
        """Accept nothing new and fail what waits; returns those jobs. The running job is left alone."""
        with self._changed:
            self._closed = True
            waiting = [job for job in map(self._jobs.get, self._waiting) if job is not None]
            self._waiting.clear()
            self._changed.notify_all()
            return [self._jobs.end(job, SHUTTING_DOWN) for job in waiting]

    def abort_running(self, error: JobError) -> None:
        """Fail the running job; its engine notices when it next asks."""
        with self._changed:
            if self._running is not None and (job := self._jobs.get(self._running)):
                self._jobs.end(job, error)
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def running(self) -> str | None:
        with self._changed:
            return self._running

    def wake(self) -> None:
        """Make every `wait` ask again: something outside the queue has changed."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, until: Callable[[JobQueue], bool], timeout_s: float) -> bool:
        """Block until the queue satisfies `until`, which is asked after every change, or the time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: until(self), timeout_s)

    def _order(self) -> list[str]:
        return [*filter(None, [self._running]), *self._waiting]

    def _counts(self) -> Counts:
        return Counts(
            waiting=len(self._waiting),
            running=int(self._running is not None),
            reserved=len(self._reserved),
            result_bytes=self._jobs.result_bytes(),
        )
