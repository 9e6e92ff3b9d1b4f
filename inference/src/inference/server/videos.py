"""The Videos API: /v1/videos and the paths below it."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from inference.media.thumbnail import KIND, thumbnail
from inference.server import wire
from inference.server.admission import admit
from inference.server.downloads import Download
from inference.server.errors import ApiError, invalid, not_found, not_ready_to_download
from inference.server.fields import request_body_schema
from inference.server.jobs import Job, Status
from inference.server.multipart import DISCARD_S, discard
from inference.server.scratch import ID
from inference.server.service import Service
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

Variant = Literal["video", "thumbnail", "partial"]
POLL_AFTER_MS = "1000"
THUMBNAIL_HEADERS = {"cache-control": "private, max-age=86400, immutable"}


class VideoRoutes:
    """The handlers; each makes one call of the service from an HTTP request."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._queue = service.queue

    def add_to(self, router: APIRouter) -> None:
        add = partial(router.add_api_route, tags=["videos"])
        body = {
            "required": True,
            "content": {"multipart/form-data": {"schema": request_body_schema(self._service.config.sampling)}},
        }
        add(
            "/v1/videos",
            self.create,
            methods=["POST"],
            response_model=wire.Video,
            openapi_extra={"requestBody": body},
            summary="Create a video",
            responses=_errors(400, 404, 408, 413, 415, 429, 503),
        )
        add("/v1/videos", self.list, response_model=wire.VideoList, summary="List videos", responses=_errors(400))
        add(
            "/v1/videos/{video_id}",
            self.retrieve,
            response_model=wire.Video,
            summary="Status and progress",
            responses=_errors(404),
        )
        add(
            "/v1/videos/{video_id}/content",
            self.content,
            response_class=Response,
            summary="Download the MP4, a small picture of it, or what was made of a failed one",
            responses=_errors(404, 409, 416) | {200: {"content": {"video/mp4": {}, KIND: {}}}},
        )
        add(
            "/v1/videos/{video_id}",
            self.delete,
            methods=["DELETE"],
            response_model=wire.VideoDeleted,
            summary="Delete a finished video, or cancel one that is not finished",
            responses=_errors(404),
        )

    async def create(self, request: Request) -> JSONResponse:
        """Create a job; the response comes at once, the video when its status is completed."""
        body = request.stream()
        try:
            job = await admit(self._service, request.headers, body)
        except ApiError as error:
            status = "rejected" if error.status in (429, 503) else "invalid"
            self._service.metrics.requests.labels(status).inc()
            if "expect" not in request.headers:  # a client that waits for "100 Continue" has not sent the body yet
                await discard(body, self._service.limits.body_bytes, DISCARD_S)
            raise
        except Exception:
            self._service.metrics.requests.labels("failed").inc()
            raise
        log.info("video accepted", extra=fields(id=job.id, people=len(job.request.generation.speakers)))
        return self._polled(job)

    async def list(
        self,
        after: Annotated[str | None, Query(description="The last id of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> wire.VideoList:
        """Videos by age, newest first unless asked otherwise."""
        if after is not None and not ID.fullmatch(after):
            raise invalid("after", "invalid_value", "is not an id of a video.")
        return wire.video_list(self._queue.page(after=after, limit=limit, order=order), self._queue.forecast)

    async def retrieve(self, request: Request, video_id: str) -> JSONResponse:
        """Status and progress of one video."""
        job = self._queue.get(video_id)
        if job is None:
            raise not_found(video_id)
        ended = job.finished and self._queue.running() != video_id  # else the engine may still leave a part of it
        if ended and job.clip is None and request.method == "GET":
            self._queue.mark_fetched(video_id)  # its client now knows the outcome
        return self._polled(job)

    async def content(self, video_id: str, variant: Variant = "video") -> Response:
        """The finished video, in ranges if asked; its first frame as a small WebP; what was made of a failed one."""
        job = self._queue.get(video_id)
        if job is None:
            raise not_found(video_id)
        if problem := _no_content(job, variant):
            raise not_ready_to_download(video_id, problem)
        path = self._service.scratch.result(video_id)
        try:
            found = await run_in_threadpool(os.stat, path)
            if variant == "thumbnail":
                return Response(await run_in_threadpool(thumbnail, path), media_type=KIND, headers=THUMBNAIL_HEADERS)
        except FileNotFoundError as error:  # deleted in between
            raise not_found(video_id) from error
        return Download(path, found, after=BackgroundTask(self._queue.mark_fetched, video_id))

    async def delete(self, video_id: str) -> wire.VideoDeleted:
        """Delete a finished video; cancel one that is not finished, which then stays in the list as cancelled."""
        discarded = self._queue.discard(video_id)
        if discarded is None:
            raise not_found(video_id)
        if discarded.before.status is Status.QUEUED:
            self._service.metrics.requests.labels("cancelled").inc()
        if discarded.files_free:
            await run_in_threadpool(self._service.scratch.remove, video_id)
        log.info("video deleted", extra=fields(id=video_id, was=discarded.before.status))
        return wire.VideoDeleted(id=video_id)

    def _polled(self, job: Job) -> JSONResponse:
        """A video, with the interval at which clients should poll."""
        headers = {} if job.finished else {"openai-poll-after-ms": POLL_AFTER_MS}
        return JSONResponse(wire.video(job, self._queue.forecast(job)).model_dump(mode="json"), headers=headers)


def _no_content(job: Job, variant: Variant) -> str | None:
    """Why a variant cannot be downloaded; None if it can."""
    if job.clip is None:
        return f"is {job.status}; its content can be downloaded once it is completed."
    if job.part and variant == "video":
        return f"failed; the {job.part.seconds:.4g} s that were made before are its content with variant=partial."
    if variant == "partial" and not job.part:
        return "is completed; its content without variant=partial is all of it."
    return None


def _errors(*codes: int) -> dict[int | str, dict[str, object]]:
    return {code: {"model": wire.ErrorResponse} for code in codes}
