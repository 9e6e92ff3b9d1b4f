"""Reading a manifest, or another small text, from a file."""

from __future__ import annotations

import hashlib

from init_sync.core.copy_pins import Pin, parse_pins
from init_sync.core.errors import ManifestError, NeedsChange, Problem
from init_sync.core.manifest import parse_manifest
from init_sync.core.reasons import Reason
from init_sync.core.spec import Manifest

MAX_BYTES = 1_500_000
"""As much as Kubernetes stores in one object."""


def read_manifest(path: str) -> Manifest:
    """The manifest in the file, and the digest of its bytes.

    Raises:
        ManifestError: it cannot be read, or is not valid.
    """
    try:
        data, text = read_text(path)
    except ValueError as error:
        raise ManifestError(path, (Problem("", str(error)),)) from error
    return parse_manifest(text, path)._replace(digest=f"sha256:{hashlib.sha256(data).hexdigest()}")


def read_pins(option: str, path: str) -> dict[str, Pin]:
    """Of a report that ``option`` names. Raises NeedsChange when it cannot be read, or is none."""
    try:
        return parse_pins(read_text(path)[1])
    except ValueError as error:
        raise NeedsChange(Reason.INVALID_SPEC, f"{option}: {path} {error}") from error


def read_text(path: str) -> tuple[bytes, str]:
    """The bytes of the file, and the text that they are. Raises ValueError with what is wrong."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES:,} bytes")
    try:
        return data, data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start})") from error
