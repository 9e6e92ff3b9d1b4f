"""The reasons a model is not complete: the words of the report, of conditions and of log lines."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a model is not complete. The values are a contract with the operator and with users' alerts."""

    FILE_MISSING = "FileMissing"
    SIZE_MISMATCH = "SizeMismatch"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    LINK_BROKEN = "LinkBroken"
    NOT_VERIFIED = "NotVerified"
    HUB_UNREACHABLE = "HubUnreachable"
    RATE_LIMITED = "RateLimited"
    TOKEN_INVALID = "TokenInvalid"  # noqa: S105  # a word, not a token
    GATED_REPO = "GatedRepo"
    REPO_NOT_FOUND = "RepoNotFound"
    REVISION_NOT_FOUND = "RevisionNotFound"
    FILE_NOT_FOUND = "FileNotFound"
    PICKLE_REFUSED = "PickleRefused"
    DISK_FULL = "DiskFull"
    VOLUME_NOT_WRITABLE = "VolumeNotWritable"
    VOLUME_UNSUPPORTED = "VolumeUnsupported"
    PATH_CONFLICT = "PathConflict"
    LISTING_INCONSISTENT = "ListingInconsistent"
    DIGEST_MISMATCH = "DigestMismatch"
    STALLED = "Stalled"
    WAITING_FOR_LOCK = "WaitingForLock"
    INTERRUPTED = "Interrupted"
    INTERNAL_ERROR = "InternalError"
    INVALID_SPEC = "InvalidSpec"
