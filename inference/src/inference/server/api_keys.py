"""The keys that clients may send, from the file that `--api-key-file` names: one on each line, so that two can overlap.

It is read once, at start.
"""

from __future__ import annotations

from pathlib import Path

LEAST_LENGTH = 16


def read_keys(path: str) -> tuple[str, ...]:
    """Raises ValueError for a file that cannot be meant; no key is in the message."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"{path} cannot be read: {reason}") from error
    if not lines:
        raise ValueError(f"{path} holds no key; write one on a line, such as that of openssl rand -hex 32")
    if any(len(key) < LEAST_LENGTH or not key.isascii() for key in lines):
        raise ValueError(
            f"{path} has a key that is shorter than {LEAST_LENGTH} characters or not ASCII; make a new one"
        )
    return tuple(lines)
