"""What is written beside a video, so that it is still known after a restart on the same scratch directory.

    {"version": 1, "model": "multitalk", "prompt": "...", "seed": 42, "width": 832, "height": 480, "seconds": 4.0,
     "size_bytes": 400123, "created_at": 1764000000.0, "started_at": 1764000001.0, "finished_at": 1764000100.0,
     "failure": null}

Only completed videos have one, and failed ones of which a part was made; the `failure` of those is {"code":
"out_of_memory", "message": "...", "param": null, "progress": 40, "planned_seconds": 60.0}. A record is believed if it
can be read, and the file beside it has its size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.generation import GenerationRequest, Sampling, VideoPlan
from inference.multitalk import FPS
from inference.server.jobs import CheckedRequest, Clip, Job, JobError, Status

MOST_BYTES = 64 * 1024

CONFIG = ConfigDict(frozen=True, strict=True, extra="ignore")
Count = Annotated[int, Field(gt=0)]
Time = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Failure(BaseModel):
    """Why there is only a part of it, and of what."""

    model_config = CONFIG

    code: str
    message: str
    param: str | None
    progress: int
    planned_seconds: Time


class Record(BaseModel):
    """A video, or a part of one."""

    model_config = CONFIG

    version: Literal[1] = 1
    model: str
    prompt: str
    seed: int
    width: Count
    height: Count
    seconds: Time
    size_bytes: Count
    created_at: Time
    started_at: Time | None
    finished_at: Time
    failure: Failure | None = None


def record_of(job: Job) -> str | None:
    """The text for a job with a video; None for others."""
    if job.clip is None or job.finished_at is None:
        return None
    clip, generation = job.clip, job.request.generation
    return Record(
        model=job.request.model,
        prompt=generation.prompt,
        seed=generation.sampling.seed,
        width=clip.width,
        height=clip.height,
        seconds=clip.seconds,
        size_bytes=clip.size_bytes,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        failure=_failure(job),
    ).model_dump_json()


def _failure(job: Job) -> Failure | None:
    error = job.error
    if error is None:
        return None
    return Failure(
        code=error.code,
        message=error.message,
        param=error.param,
        progress=job.progress,
        planned_seconds=job.request.plan.seconds,
    )


def read_record(video_id: str, text: bytes, video: Path, now: float, ttl_s: float) -> Job | None:
    """The job of a record; None if it does not describe the video. A lifetime counts as this server has it."""
    try:
        record = Record.model_validate_json(text)
        size_bytes = video.lstat().st_size
    except (ValidationError, OSError):
        return None
    if size_bytes != record.size_bytes or video.is_symlink():
        return None
    failure = record.failure
    seconds = failure.planned_seconds if failure else record.seconds
    plan = VideoPlan(record.width, record.height, round(seconds * FPS), seconds)
    generation = GenerationRequest(record.prompt, video, (), sampling=Sampling(seed=record.seed))
    finished_at = min(record.finished_at, now)
    return Job(
        video_id,
        CheckedRequest(generation, record.model, plan),
        created_at=record.created_at,
        status=Status.FAILED if failure else Status.COMPLETED,
        progress=failure.progress if failure else 100,
        started_at=record.started_at,
        finished_at=finished_at,
        expires_at=finished_at + ttl_s,
        error=JobError(failure.code, failure.message, failure.param) if failure else None,
        clip=Clip(record.width, record.height, record.seconds, size_bytes),
    )
