"""The JSON objects of the API, as pydantic models, and how a job becomes one.

    {"id": "video_17f0...", "object": "video", "model": "multitalk", "status": "in_progress", "progress": 42,
     "prompt": "...", "seconds": "4", "size": "832x480", "seed": 42, "created_at": 1764000000, "completed_at": null,
     "expires_at": null, "error": null, "remixed_from_video_id": null, "width": 832, "height": 480, "frames": 100,
     "partial_seconds": null, "queue_position": 0, "seconds_left": 340}

Fields and spelling are OpenAI's (`seconds` is a string there), but for the last six. From the first response on, they
say what will be made, not what was asked for. `cancelled` is a status of ours: their API knows no
cancellation, and their client passes an unknown status through.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel

from inference.generation import Sampling, VideoPlan
from inference.server.forecast import Forecast
from inference.server.job_table import Page
from inference.server.jobs import Job, Status

Modality = Literal["text", "image", "audio", "video"]
MODALITIES: tuple[Modality, ...] = ("text", "image", "audio")
"""What all weights take."""


class VideoError(BaseModel):
    """Why a video failed."""

    code: str
    message: str
    param: str | None = None


class Video(BaseModel):
    """One video job."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Status
    progress: int
    prompt: str
    seconds: str
    size: str
    seed: int
    created_at: int
    completed_at: int | None = None
    expires_at: int | None = None
    error: VideoError | None = None
    remixed_from_video_id: str | None = None
    width: int
    height: int
    frames: int
    partial_seconds: float | None = None
    """Of a failed video: how much of it was made, and can be downloaded with `variant=partial`."""
    queue_position: int | None = None
    """How many videos come before it; null once it is finished."""
    seconds_left: int | None = None
    """About how long until it is finished; null if that cannot be told yet."""


class VideoList(BaseModel):
    """One page of videos; `after=last_id` returns the next."""

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    """The response to DELETE."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = True


class ModelLimits(BaseModel):
    """What is refused beyond: the length of a video, of each voice and of a clip, a picture, the body of a request."""

    seconds: float
    megapixels: float
    upload_bytes: int


class Model(BaseModel):
    """A model that is served; the last three are ours."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "MeiGen-AI"
    limits: ModelLimits
    defaults: Sampling
    """Of the sampling fields of POST /v1/videos."""
    input_modalities: list[Modality]
    """With video once weights are loaded that take clips."""


class ModelList(BaseModel):
    """All models of this server: one."""

    object: Literal["list"] = "list"
    data: list[Model]


class Estimate(BaseModel):
    """What a video would be if it were sent now."""

    object: Literal["estimate"] = "estimate"
    width: int
    height: int
    frames: int
    seconds: float
    queue_position: int
    seconds_left: int | None


class ErrorDetail(BaseModel):
    """The inner object of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """Every response other than success."""

    error: ErrorDetail


class HealthResponse(BaseModel):
    """Whether the process can work at all."""

    status: Literal["ok", "failing"]
    reason: str | None = None


class ReadinessResponse(BaseModel):
    """Whether requests are accepted, and if not, why."""

    ready: bool
    state: Literal["loading", "ready", "draining", "failed"]
    waiting_for: str | None = None
    component: str | None = None
    percent: float | None = None


def video(job: Job, forecast: Forecast | None) -> Video:
    clip, plan = job.clip, job.request.plan
    made = plan if clip is None or job.part else clip
    return Video(
        id=job.id,
        model=job.request.model,
        status=job.status,
        progress=job.progress,
        prompt=job.request.generation.prompt,
        seconds=_seconds(made.seconds),
        size=f"{made.width}x{made.height}",
        seed=job.request.generation.sampling.seed,
        created_at=int(job.created_at),
        completed_at=None if job.finished_at is None else int(job.finished_at),
        expires_at=int(job.expires_at) if clip and job.expires_at is not None else None,
        error=VideoError(code=job.error.code, message=job.error.message, param=job.error.param) if job.error else None,
        width=made.width,
        height=made.height,
        frames=plan.frames,
        partial_seconds=round(job.part.seconds, 3) if job.part else None,
        queue_position=forecast.before if forecast else None,
        seconds_left=whole_seconds(forecast),
    )


def whole_seconds(forecast: Forecast | None) -> int | None:
    return None if forecast is None or forecast.seconds_left is None else math.ceil(forecast.seconds_left)


def estimate(plan: VideoPlan, forecast: Forecast) -> Estimate:
    return Estimate(
        width=plan.width,
        height=plan.height,
        frames=plan.frames,
        seconds=plan.seconds,
        queue_position=forecast.before,
        seconds_left=whole_seconds(forecast),
    )


def video_list(page: Page, forecast: Callable[[Job], Forecast | None]) -> VideoList:
    data = [video(job, forecast(job)) for job in page.jobs]
    return VideoList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


def _seconds(value: float) -> str:
    return f"{round(value, 3):g}"
