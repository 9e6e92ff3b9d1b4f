"""The keys that clients may send, from the file that `--api-key-file` names: one on each line, so that two can overlap.

It is read once, at start.
"""

from __future__ import annotations

from pathlib import Path

LEAST_LENGTH = 16


class KeysUnusable(Exception):
    """The file cannot be meant; the message says why, without a key."""


def read_keys(path: Path | None) -> tuple[str, ...]:
    """None: no key is needed. Raises `KeysUnusable`."""
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeysUnusable(f"reading --api-key-file: {path} cannot be read: {reason}") from error
    if not lines:
        raise KeysUnusable(
            f"reading --api-key-file: {path} holds no key; write one on a line, such as that of openssl rand -hex 32"
        )
    if any(len(key) < LEAST_LENGTH or not key.isascii() for key in lines):
        what = f"a key that is shorter than {LEAST_LENGTH} characters or not ASCII"
        raise KeysUnusable(f"reading --api-key-file: {path} has {what}; make a new one")
    return tuple(lines)
