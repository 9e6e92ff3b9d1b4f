"""The board: every job of this process, who waits, who runs. The one place where threads meet.

Places are counted: a reservation (an upload on its way), a waiting job and the job on the device take one each, and
there are `places` of them; who finds none is told so at once. A cancelled job keeps its place for as long as the
engine has not let go of it.

Ids sort by age (`video_` + nanoseconds + random), so a list can go on after an id that has been forgotten meanwhile.
Nothing is written to disk: a restarted process starts with an empty board. Files belong to `scratch`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from inference.server.jobs import SHUTTING_DOWN, Clip, Draft, Job, JobError, Status
from inference.server.retention import Retention, expired, surplus


class NoPlace(Exception):
    """All places are taken."""


class Closed(Exception):
    """The server is stopping and takes on nothing new."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """What a DELETE did: the job as it was, and whether its files can go now (the engine may still be using them)."""

    before: Job
    files_free: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list."""

    jobs: tuple[Job, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How full the board is."""

    waiting: int
    running: int
    reserved: int
    finished: int
    result_bytes: int

    @property
    def taken(self) -> int:
        return self.waiting + self.running + self.reserved


class JobBoard:
    """Thread-safe. Every method returns at once, but for `take` and `wait`."""

    def __init__(self, *, places: int, retention: Retention, clock: Callable[[], float] = time.time) -> None:
        self.places = places
        self._retention = retention
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[str] = deque()
        self._reserved: set[str] = set()
        self._running: str | None = None
        self._closed = False
        self._last_ns = 0

    def reserve(self) -> str:
        """Take a place and get the id of the job to come; raises `NoPlace` or `Closed`."""
        with self._changed:
            if self._closed:
                raise Closed
            if self._counts().taken >= self.places:
                raise NoPlace
            video_id = self._new_id()
            self._reserved.add(video_id)
            return video_id

    def release(self, video_id: str) -> None:
        """Give back a place whose request came to nothing."""
        with self._changed:
            self._reserved.discard(video_id)
            self._changed.notify_all()

    def submit(self, video_id: str, draft: Draft) -> Job:
        """Turn a reservation into a waiting job; raises `Closed` when the server began to stop meanwhile."""
        with self._changed:
            self._reserved.remove(video_id)
            if self._closed:
                raise Closed
            job = self._jobs[video_id] = Job(video_id, draft, created_at=self._clock())
            self._waiting.append(video_id)
            self._changed.notify_all()
            return job

    def take(self) -> Job | None:
        """The next job, once there is one; None when the board is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self._running = self._waiting.popleft()
            return self._put(self._jobs[self._running].started(self._clock()))

    def wanted(self, video_id: str) -> bool:
        """Is anybody still waiting for the running job?"""
        with self._changed:
            job = self._jobs.get(video_id)
            return job is not None and job.status is Status.IN_PROGRESS

    def advance(self, video_id: str, fraction: float) -> None:
        with self._changed:
            if job := self._jobs.get(video_id):
                self._put(job.advanced(fraction))

    def finish(self, video_id: str, outcome: Clip | JobError | None) -> Job | None:
        """The engine has let go: a clip, an error, or None for cancelled. Returns the job, None if it was deleted."""
        with self._changed:
            self._running = None
            job = self._jobs.get(video_id)
            if job is not None:
                job = self._put(self._ended(job, outcome))
            self._changed.notify_all()
            return job

    def discard(self, video_id: str) -> Discarded | None:
        """DELETE: an unfinished job is cancelled and stays on the board, a finished one is forgotten."""
        with self._changed:
            job = self._visible(video_id)
            if job is None:
                return None
            if job.finished:
                del self._jobs[video_id]
            else:
                self._put(self._ended(job, None))
            if job.status is Status.QUEUED:
                self._waiting.remove(video_id)
            self._changed.notify_all()
            return Discarded(job, files_free=video_id != self._running)

    def get(self, video_id: str) -> Job | None:
        with self._changed:
            return self._visible(video_id)

    def mark_fetched(self, video_id: str) -> None:
        with self._changed:
            if job := self._jobs.get(video_id):
                self._put(replace(job, fetched=True))
            self._changed.notify_all()

    def page(self, *, after: str | None, limit: int, order: Literal["asc", "desc"]) -> Page:
        with self._changed:
            now = self._clock()
            ids = sorted((key for key, job in self._jobs.items() if not expired(job, now)), reverse=order == "desc")
            if after is not None:
                ids = [key for key in ids if (key > after if order == "asc" else key < after)]
            return Page(tuple(self._jobs[key] for key in ids[:limit]), has_more=len(ids) > limit)

    def sweep(self) -> list[Job]:
        """Forget what retention lets go, and say what that was."""
        with self._changed:
            finished = (job for job in self._jobs.values() if job.finished and job.id != self._running)
            dropped = surplus(finished, self._retention, self._clock())
            for job in dropped:
                del self._jobs[job.id]
            return dropped

    def counts(self) -> Counts:
        with self._changed:
            return self._counts()

    def close(self) -> list[Job]:
        """Take on nothing new and fail what waits; returns those jobs. The running job is left alone."""
        with self._changed:
            self._closed = True
            ended = [self._put(self._ended(self._jobs[key], SHUTTING_DOWN)) for key in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
            return ended

    def abort_running(self, error: JobError) -> None:
        """Fail the running job; its engine hears of it when it next asks."""
        with self._changed:
            if self._running is not None and (job := self._jobs.get(self._running)):
                self._put(self._ended(job, error))
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def running(self) -> str | None:
        with self._changed:
            return self._running

    def wake(self) -> None:
        """Have every `wait` ask again: something outside the board has changed."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, until: Callable[[JobBoard], bool], timeout_s: float) -> bool:
        """Block until the board satisfies `until`, which is asked after every change, or the time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: until(self), timeout_s)

    def _counts(self) -> Counts:
        return Counts(
            waiting=len(self._waiting),
            running=int(self._running is not None),
            reserved=len(self._reserved),
            finished=sum(job.finished for job in self._jobs.values()),
            result_bytes=sum(job.size_bytes for job in self._jobs.values()),
        )

    def _visible(self, video_id: str) -> Job | None:
        job = self._jobs.get(video_id)
        return None if job is None or expired(job, self._clock()) else job

    def _ended(self, job: Job, outcome: Clip | JobError | None) -> Job:
        now, ttl_s = self._clock(), self._retention.ttl_s
        match outcome:
            case Clip():
                return job.completed(outcome, now, ttl_s)
            case JobError():
                return job.failed(outcome, now, ttl_s)
            case None:
                return job.cancelled(now, ttl_s)

    def _put(self, job: Job) -> Job:
        self._jobs[job.id] = job
        return job

    def _new_id(self) -> str:
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        return f"video_{self._last_ns:016x}{secrets.token_hex(6)}"
