"""The digest of a model: one word for its content, which anybody can make with GNU ``sha256sum``.

It is the SHA-256 of the model's SHA256SUMS text, written as ``sha256:HEX``. The text has a line for each file, sorted
by the bytes of the paths, which are relative to the model's directory:

    3f0a6c1e9b7d...  config.json
    77e2d05bb8a4...  model.safetensors

Byte for byte that is what ``sha256sum FILE... | LC_ALL=C sort -k2`` prints. GNU marks a line and escapes its name where
that holds a backslash, a line feed or a carriage return: ``volumepath`` allows none of them, so no line of ours is one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from init_sync.core.content_id import SHA256


def sums_text(checksums: Mapping[str, str]) -> str:
    """The SHA256SUMS text of files, given as SHA-256 by path."""
    return "".join(f"{checksums[path]}  {path}\n" for path in sorted(checksums, key=str.encode))


def digest_of(checksums: Mapping[str, str]) -> str:
    return f"{SHA256}:{hashlib.sha256(sums_text(checksums).encode()).hexdigest()}"
