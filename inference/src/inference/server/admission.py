"""Admission of a request: a reservation, its bytes, the checks, a waiting job; or one `ApiError`.

The order is on purpose: a client is refused by a full queue before its upload is stored, and at most `max_jobs` uploads
are on the disk at any time. Whatever goes wrong, the reservation and the files are given up.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from inference.server.errors import ApiError, invalid, queue_full, too_large, unavailable
from inference.server.job_queue import QueueClosed, QueueFull
from inference.server.jobs import Job
from inference.server.multipart import receive_form
from inference.server.request import read_request
from inference.server.service import Service


async def admit(service: Service, headers: Headers, body: AsyncIterator[bytes]) -> Job:
    """Read a request and submit it to the queue."""
    video_id = _reserve(service)
    accepted = False
    try:
        job = await _read(service, video_id, headers, body)
        accepted = True
        return job
    except ClientDisconnect as error:
        raise invalid(None, "client_disconnected", "The client disconnected during its upload.") from error
    except QueueClosed as error:
        raise _stopping() from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise unavailable("scratch_full", "The scratch directory is full.", service.retry_after_s) from error
    finally:
        if not accepted:
            service.queue.release(video_id)
            await run_in_threadpool(service.scratch.remove, video_id)


def require_ready(service: Service) -> None:
    view = service.readiness.view()
    if view.state == "draining":
        raise _stopping()
    if view.state != "ready":
        raise unavailable("model_loading", f"Not ready yet: {view.waiting_for}.", retry_after_s=10)


def _reserve(service: Service) -> str:
    require_ready(service)
    try:
        return service.queue.reserve()
    except QueueFull as error:
        raise queue_full(service.queue.max_jobs, service.retry_after_s) from error
    except QueueClosed as error:
        raise _stopping() from error


async def _read(service: Service, video_id: str, headers: Headers, body: AsyncIterator[bytes]) -> Job:
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > service.limits.body_bytes:
        raise too_large(service.limits.body_bytes)
    folder = await run_in_threadpool(service.scratch.create, video_id)
    form = await receive_form(body, headers.get("content-type", ""), folder, service.limits)
    request = await read_request(form, service.rules, service.prober, service.plan_video)
    return service.queue.submit(video_id, request)


def _stopping() -> ApiError:
    return unavailable("server_shutting_down", "The server is stopping; send the request again.", retry_after_s=5)
