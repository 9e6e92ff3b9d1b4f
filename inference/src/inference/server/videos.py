"""The Videos API: /v1/videos and what is under it.

The order of a POST is on purpose: a place first, then the bytes, then a look into them. A client without a place is
answered before its upload is stored, and at most `places` uploads lie on the disk at any time.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from inference.server import wire
from inference.server.board import Closed, NoPlace
from inference.server.draft import read_draft
from inference.server.errors import (
    ApiError,
    invalid,
    not_found,
    not_ready_to_download,
    queue_full,
    too_large,
    unavailable,
)
from inference.server.fields import request_body_schema
from inference.server.jobs import Job, Status
from inference.server.multipart import discard, receive_form
from inference.server.service import Service

log = logging.getLogger(__name__)

POLL_AFTER_MS = "1000"
DISCARD_S = 5.0
_ID = re.compile(r"video_[0-9a-f]{16,40}")


class VideoRoutes:
    """The handlers; each turns HTTP into one call of the service and back."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._board = service.board

    def add_to(self, router: APIRouter) -> None:
        add = partial(router.add_api_route, tags=["videos"])
        body = {"required": True, "content": {"multipart/form-data": {"schema": request_body_schema()}}}
        add(
            "/v1/videos",
            self.create,
            methods=["POST"],
            response_model=wire.Video,
            openapi_extra={"requestBody": body},
            summary="Ask for a video",
            responses=_errors(400, 404, 408, 413, 415, 429, 503),
        )
        add("/v1/videos", self.list, response_model=wire.VideoList, summary="List videos", responses=_errors(400))
        add(
            "/v1/videos/{video_id}",
            self.retrieve,
            response_model=wire.Video,
            summary="How far is it?",
            responses=_errors(404),
        )
        add(
            "/v1/videos/{video_id}/content",
            self.content,
            response_class=FileResponse,
            summary="Download the MP4",
            responses=_errors(404, 409) | {200: {"content": {"video/mp4": {}}}},
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
        """Ask for a video; the answer comes at once, the video when its status is completed."""
        body = request.stream()
        try:
            job = await self._admit(request, body)
        except ApiError as error:
            status = "rejected" if error.status in (429, 503) else "invalid"
            self._service.metrics.requests.labels(status).inc()
            if "expect" not in request.headers:  # who waits for "100 Continue" has not sent the body yet
                await discard(body, self._service.limits.body_bytes, DISCARD_S)
            raise
        except Exception:
            self._service.metrics.requests.labels("failed").inc()
            raise
        log.info("event=accepted id=%s people=%d", job.id, len(job.draft.request.speakers))
        return _polled(job)

    async def list(
        self,
        after: Annotated[str | None, Query(description="The last id of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> wire.VideoList:
        """Videos by age, newest first unless asked otherwise."""
        if after is not None and not _ID.fullmatch(after):
            raise invalid("after", "invalid_value", "is not an id of a video.")
        return wire.video_list(self._board.page(after=after, limit=limit, order=order))

    async def retrieve(self, video_id: str) -> JSONResponse:
        """Status and progress of one video."""
        job = self._board.get(video_id)
        if job is None:
            raise not_found(video_id)
        if job.finished and job.status is not Status.COMPLETED:
            self._board.mark_fetched(video_id)  # its client knows all there is to know
        return _polled(job)

    async def content(self, video_id: str, variant: Literal["video"] = "video") -> FileResponse:  # noqa: ARG002 - checked by its type
        """The finished video; ranges are served."""
        job = self._board.get(video_id)
        if job is None:
            raise not_found(video_id)
        if job.status is not Status.COMPLETED:
            raise not_ready_to_download(video_id, job.status)
        path = self._service.scratch.result(video_id)
        try:
            found = await run_in_threadpool(os.stat, path)
        except FileNotFoundError as error:  # deleted between the two looks
            raise not_found(video_id) from error
        return FileResponse(
            path,
            media_type="video/mp4",
            filename=f"{video_id}.mp4",
            stat_result=found,
            background=BackgroundTask(self._board.mark_fetched, video_id),
        )

    async def delete(self, video_id: str) -> wire.VideoDeleted:
        """Delete a finished video; cancel one that is not finished, which then stays in the list as cancelled."""
        discarded = self._board.discard(video_id)
        if discarded is None:
            raise not_found(video_id)
        if discarded.before.status is Status.QUEUED:
            self._service.metrics.requests.labels("cancelled").inc()
        if discarded.files_free:
            await run_in_threadpool(self._service.scratch.remove, video_id)
        log.info("event=deleted id=%s was=%s", video_id, discarded.before.status)
        return wire.VideoDeleted(id=video_id)

    async def _admit(self, request: Request, body: AsyncIterator[bytes]) -> Job:
        """Place, bytes, look; whatever goes wrong, the place and the files are given back."""
        video_id = self._reserve()
        accepted = False
        try:
            job = await self._read(video_id, request, body)
            accepted = True
            return job
        except ClientDisconnect as error:
            raise invalid(None, "client_disconnected", "The client went away during its upload.") from error
        except Closed as error:
            raise self._stopping() from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise unavailable("scratch_full", "The scratch directory is full.", self._service.retry_after_s) from error
        finally:
            if not accepted:
                self._board.release(video_id)
                await run_in_threadpool(self._service.scratch.remove, video_id)

    async def _read(self, video_id: str, request: Request, body: AsyncIterator[bytes]) -> Job:
        service = self._service
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > service.limits.body_bytes:
            raise too_large(service.limits.body_bytes)
        folder = await run_in_threadpool(service.scratch.create, video_id)
        form = await receive_form(body, request.headers.get("content-type", ""), folder, service.limits)
        draft = await read_draft(form, folder, service.rules, service.prober)
        return self._board.submit(video_id, draft)

    def _reserve(self) -> str:
        view = self._service.gate.view()
        if view.state == "draining":
            raise self._stopping()
        if view.state != "ready":
            raise unavailable("model_loading", f"Not ready yet: {view.waiting_for}.", retry_after_s=10)
        try:
            return self._board.reserve()
        except NoPlace as error:
            raise queue_full(self._board.places, self._service.retry_after_s) from error
        except Closed as error:
            raise self._stopping() from error

    @staticmethod
    def _stopping() -> ApiError:
        return unavailable("server_shutting_down", "The server is stopping; send the request again.", retry_after_s=5)


def _polled(job: Job) -> JSONResponse:
    """A video, with the pause that clients shall make before they ask again."""
    headers = {} if job.finished else {"openai-poll-after-ms": POLL_AFTER_MS}
    return JSONResponse(wire.video(job).model_dump(mode="json"), headers=headers)


def _errors(*codes: int) -> dict[int | str, dict[str, object]]:
    return {code: {"model": wire.ErrorAnswer} for code in codes}
