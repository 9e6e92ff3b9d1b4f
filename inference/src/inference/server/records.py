"""What is written beside a finished video, so that it is still known after a restart on the same scratch directory.

    {"version": 1, "model": "multitalk", "prompt": "...", "seed": 42, "width": 832, "height": 480, "seconds": 4.0,
     "size_bytes": 400123, "created_at": 1764000000.0, "started_at": 1764000001.0, "finished_at": 1764000100.0}

Only completed videos have one. A record is believed if it can be read, and the file beside it has its size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.generation import GenerationRequest, Sampling, VideoPlan
from inference.multitalk import FPS
from inference.server.jobs import CheckedRequest, Clip, Job, Status

MOST_BYTES = 64 * 1024

Count = Annotated[int, Field(gt=0)]
Time = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(BaseModel):
    """A completed video."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

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


def record_of(job: Job) -> str | None:
    """The text for a completed job; None for others."""
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
    ).model_dump_json()


def read_record(video_id: str, text: bytes, video: Path, now: float, ttl_s: float) -> Job | None:
    """The job of a record; None if it does not describe the video. A lifetime counts as this server has it."""
    try:
        record = Record.model_validate_json(text)
        size_bytes = video.lstat().st_size
    except (ValidationError, OSError):
        return None
    if size_bytes != record.size_bytes or video.is_symlink():
        return None
    plan = VideoPlan(record.width, record.height, round(record.seconds * FPS), record.seconds)
    generation = GenerationRequest(record.prompt, video, (), sampling=Sampling(seed=record.seed))
    finished_at = min(record.finished_at, now)
    return Job(
        video_id,
        CheckedRequest(generation, record.model, plan),
        created_at=record.created_at,
        status=Status.COMPLETED,
        progress=100,
        started_at=record.started_at,
        finished_at=finished_at,
        expires_at=finished_at + ttl_s,
        clip=Clip(record.width, record.height, record.seconds, size_bytes),
    )
