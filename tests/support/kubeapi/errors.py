"""Errors as the API answers them."""

from __future__ import annotations

from typing import Any


class ApiError(OSError):
    """Becomes a ``Status`` object; an OSError as every other trouble on the way to an answer."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    def status(self) -> dict[str, Any]:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
        }


def not_found(resource: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource} "{name}" not found')


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")
