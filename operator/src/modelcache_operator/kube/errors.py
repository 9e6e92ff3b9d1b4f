"""Failed API calls, by what the caller should do about them."""

from __future__ import annotations

MAX_BODY = 512
"""Of a refusal's text: enough for the reason, and not for a whole object in a log."""


class ApiError(Exception):
    """A call that did not do what it was for."""


class Missing(ApiError):
    """404: the object, or the kind, is not there."""


class Conflict(ApiError):
    """409, or a JSON patch whose test failed: look again and decide again."""


class Refused(ApiError):
    """400, 403, 413, 422: the same call will be refused again until somebody changes something."""

    reason = "Refused"

    def __init__(self, message: str, what: str = "") -> None:
        super().__init__(message)
        self.what = what
        """The object that was to be made or changed."""

    def __str__(self) -> str:
        return f"the API refuses {self.what or 'the call'}: {super().__str__()}"


class NameTaken(Refused):
    """An object of the name that is needed is somebody else's: it is neither changed nor used."""

    reason = "NameTaken"

    def __str__(self) -> str:
        return ApiError.__str__(self)


class Unavailable(ApiError):
    """No connection, 401, 429, 5xx: try again later."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OldDefinition(Exception):
    """The API drops what the operator must remember: going on would mean a new Job after each one, without an end."""

    def __str__(self) -> str:
        return (
            "the API drops status.sync.claimUid, so the custom resource definition is older than this operator. Apply "
            "the chart's folder crds"
        )
