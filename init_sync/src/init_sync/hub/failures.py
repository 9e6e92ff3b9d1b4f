"""What an HTTP answer that is not a success means: try again, or tell the user what to change."""

from __future__ import annotations

from collections.abc import Mapping

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.retry import Transient, retry_after_s

CODES = {
    "GatedRepo": Reason.GATED_REPO,
    "RepoNotFound": Reason.REPO_NOT_FOUND,
    "RevisionNotFound": Reason.REVISION_NOT_FOUND,
    "EntryNotFound": Reason.FILE_NOT_FOUND,
}

BY_STATUS = {
    401: Reason.GATED_REPO,
    403: Reason.GATED_REPO,
    404: Reason.FILE_NOT_FOUND,
    410: Reason.FILE_NOT_FOUND,
}

CURES = {
    Reason.GATED_REPO: "Request access on the repository's page and provide a token that has it (HF_TOKEN)",
    Reason.REPO_NOT_FOUND: "Correct the name; a private repository needs a token that may read it (HF_TOKEN)",
    Reason.REVISION_NOT_FOUND: "Correct the revision; if a pinned commit is gone from the hub, sync with --refresh",
    Reason.FILE_NOT_FOUND: "Correct the manifest; if the pinned commit is gone from the hub, sync with --refresh",
    Reason.HUB_UNREACHABLE: "Check HF_ENDPOINT and the proxy variables",
}


def failure(status: int, headers: Mapping[str, str], doing: str) -> Exception:
    """The exception to raise for a status of 400 or more; ``doing`` begins its message ("listing a/b at main")."""
    code = headers.get("X-Error-Code") or headers.get("x-error-code") or ""
    answer = f"the hub answered {status}" + (f" {code}" if code else "")
    if status == 429:
        return Transient(Reason.RATE_LIMITED, f"{doing}: {answer} (too many requests)", retry_after_s(headers) or None)
    if status == 408 or status >= 500:
        return Transient(Reason.HUB_UNREACHABLE, f"{doing}: {answer}", retry_after_s(headers) or None)
    if status == 407:
        return refusal(Reason.HUB_UNREACHABLE, doing, "the proxy asks for a password (407)")
    return refusal(CODES.get(code) or BY_STATUS.get(status, Reason.HUB_UNREACHABLE), doing, answer)


def refusal(reason: Reason, doing: str, answer: str) -> NeedsChange:
    """A failure that no retry will cure, with what to do about it."""
    return NeedsChange(reason, f"{doing}: {answer}. {CURES[reason]}")
