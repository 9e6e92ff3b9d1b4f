"""Content ids: which hash of a file a hub publishes, as ``sha256:HEX`` or ``git-sha1:HEX``.

Apart from ``listing``, whose dataclasses take a seventh of a warm start to import.
"""

from __future__ import annotations

SHA256 = "sha256"
GIT_SHA1 = "git-sha1"
HEX = frozenset("0123456789abcdefABCDEF")


def is_content_id(text: str) -> bool:
    """Whether this names content by a kind of hash that is known, in hexadecimal digits."""
    kind, _, digest = text.partition(":")
    return kind in (SHA256, GIT_SHA1) and bool(digest) and HEX.issuperset(digest)
