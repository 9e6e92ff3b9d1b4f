"""Content ids: which hash of a file a hub publishes, as ``sha256:HEX`` or ``git-sha1:HEX``.

Apart from ``listing``, whose dataclasses take a seventh of a warm start to import.
"""

from __future__ import annotations

SHA256 = "sha256"
GIT_SHA1 = "git-sha1"
HEX = frozenset("0123456789abcdefABCDEF")
CHECKSUM_DIGITS = frozenset("0123456789abcdef")


def is_content_id(text: str) -> bool:
    """Whether this names content by a kind of hash that is known, in hexadecimal digits."""
    kind, _, digest = text.partition(":")
    return kind in (SHA256, GIT_SHA1) and bool(digest) and HEX.issuperset(digest)


def is_commit(text: str) -> bool:
    """Whether this is git's id of a commit, in full."""
    return len(text) == 40 and CHECKSUM_DIGITS.issuperset(text)


def is_checksum(text: str) -> bool:
    """Whether this is a SHA-256 as ``sha256sum`` prints it."""
    return len(text) == 64 and CHECKSUM_DIGITS.issuperset(text)


def checksum_in(content_id: str) -> str:
    """The SHA-256 of the content, if that is what names it; else empty."""
    kind, _, digest = content_id.partition(":")
    return digest if kind == SHA256 and is_checksum(digest) else ""
