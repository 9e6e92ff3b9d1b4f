"""Errors as clients get them, in the form that OpenAI's clients parse.

On the wire:

    HTTP/1.1 400 Bad Request
    {"error": {"message": "box: ...", "type": "invalid_request_error", "param": "box", "code": "box_outside_image"}}

`type` is one of invalid_request_error (change the request), rate_limit_error (send it again later) and server_error
(not the caller's fault). `code` is stable and meant for programs; `message` names the field and the cure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fastapi.responses import JSONResponse

ErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


class ApiError(Exception):
    """A response other than success: status, body and headers."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        kind: ErrorType = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.kind: ErrorType = kind
        self.headers = dict(headers or {})

    def body(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def as_response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)


def invalid(param: str | None, code: str, message: str) -> ApiError:
    """400: the request itself has to change."""
    return ApiError(400, code, f"{param}: {message}" if param else message, param=param)


def not_found(video_id: str) -> ApiError:
    return ApiError(
        404,
        "video_not_found",
        f"No video has the id {video_id!r}: it was deleted, has expired, or never existed.",
        param="video_id",
    )


def not_ready_to_download(video_id: str, text: str) -> ApiError:
    """409 with a header against retries: OpenAI's clients would poll a job of minutes every second."""
    return ApiError(
        409,
        "video_not_ready",
        f"The video {video_id!r} {text}",
        param="video_id",
        headers={"x-should-retry": "false"},
    )


def too_large(limit_bytes: int) -> ApiError:
    return ApiError(
        413,
        "upload_too_large",
        f"The request body is larger than {limit_bytes / 2**20:g} MiB. Send a smaller picture or compressed audio.",
    )


def upload_timed_out(limit_s: float) -> ApiError:
    return ApiError(408, "upload_timeout", f"The request body did not arrive within {limit_s:g} s.")


def upload_stalled(limit_s: float) -> ApiError:
    return ApiError(408, "upload_stalled", f"The request body stood still for {limit_s:g} s. Send it again.")


def queue_full(max_jobs: int, retry_after_s: int) -> ApiError:
    return ApiError(
        429,
        "queue_full",
        f"The queue is full: {max_jobs} videos are unfinished. Try again in {retry_after_s} s.",
        kind="rate_limit_error",
        headers={"retry-after": str(retry_after_s)},
    )


def unavailable(code: str, message: str, retry_after_s: int) -> ApiError:
    """503: the request is fine, the server cannot accept it now."""
    return ApiError(503, code, message, kind="server_error", headers={"retry-after": str(retry_after_s)})


def internal() -> ApiError:
    """500: the details are in the log and not for the caller."""
    return ApiError(
        500, "internal_error", "The server failed to handle the request; its log says why.", kind="server_error"
    )
