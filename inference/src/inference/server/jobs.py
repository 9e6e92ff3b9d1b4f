"""One job and its states. Pure: a transition returns a new record and does nothing else.

    queued -> in_progress -> completed
       |           |-------> failed       (an error object says why)
       |-----------|-------> cancelled    (DELETE while it had not finished)
       |-------------------> failed       (the server shut down before its turn)

A finished job never changes its status again: every transition returns it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from inference.generation import GenerationRequest, VideoPlan


class Status(StrEnum):
    """The words of the API."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable code and a sentence."""

    code: str
    message: str
    param: str | None = None


SHUTTING_DOWN = JobError("server_shutting_down", "The server was stopped before the video was finished; send it again.")
ENGINE_LOST = JobError("engine_lost", "A GPU of the server failed, and the server restarts; send the video again.")
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that passed all checks: what the engine gets, and what the API shows until the video is there."""

    generation: GenerationRequest
    model: str
    plan: VideoPlan


@dataclass(frozen=True, slots=True)
class Clip:
    """A video on the disk: a finished one, or the part of a failed one that was made before the failure."""

    width: int
    height: int
    seconds: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Job:
    """A snapshot of one job. Times are seconds since the epoch."""

    id: str
    request: CheckedRequest
    created_at: float
    status: Status = Status.QUEUED
    progress: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    error: JobError | None = None
    clip: Clip | None = None
    fetched: bool = False

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def outcome(self) -> str:
        """Its end, in metrics and logs. To its client a stop of the server is a failure like any other; as a failure of
        the engine it would make each rolling restart look like an outage."""
        return INTERRUPTED if self.error == SHUTTING_DOWN else self.status.value

    @property
    def size_bytes(self) -> int:
        return self.clip.size_bytes if self.clip else 0

    @property
    def part(self) -> Clip | None:
        """What was made of a video that failed."""
        return self.clip if self.status is Status.FAILED else None

    def started(self, now: float) -> Job:
        return self if self.finished else replace(self, status=Status.IN_PROGRESS, started_at=now)

    def advanced(self, fraction: float) -> Job:
        """Progress never goes back, and stays below 100 until the video can be downloaded."""
        if self.status is not Status.IN_PROGRESS:
            return self
        return replace(self, progress=max(self.progress, min(99, int(fraction * 100))))

    def completed(self, clip: Clip, now: float, ttl_s: float) -> Job:
        if self.status is not Status.IN_PROGRESS:
            return self
        done = self._ended(Status.COMPLETED, now, ttl_s)
        return replace(done, progress=100, clip=clip)

    def failed(self, error: JobError, now: float, ttl_s: float) -> Job:
        return self if self.finished else replace(self._ended(Status.FAILED, now, ttl_s), error=error)

    def with_part(self, part: Clip) -> Job:
        """A failed job keeps what was made; a cancelled one keeps nothing."""
        return replace(self, clip=part) if self.status is Status.FAILED else self

    def cancelled(self, now: float, ttl_s: float) -> Job:
        return self if self.finished else self._ended(Status.CANCELLED, now, ttl_s)

    def _ended(self, status: Status, now: float, ttl_s: float) -> Job:
        return replace(self, status=status, finished_at=now, expires_at=now + ttl_s)
