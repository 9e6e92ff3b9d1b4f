"""File patterns with the meaning that ``huggingface_hub`` gives them in ``allow_patterns`` and ``ignore_patterns``.

``*`` matches any characters including ``/``, ``?`` one character, ``[...]`` one of a set; a trailing ``/`` means
everything below that directory. Matching is case-sensitive.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern)


def is_literal(pattern: str) -> bool:
    """Whether the pattern names exactly one file."""
    return not any(character in pattern for character in "*?[") and not pattern.endswith("/")


def select(paths: Iterable[str], include: tuple[str, ...] | None, exclude: tuple[str, ...]) -> list[str]:
    """The paths that some ``include`` pattern wants (None: all) and no ``exclude`` pattern drops, in their order."""
    return [
        path
        for path in paths
        if (include is None or any(matches(path, pattern) for pattern in include))
        and not any(matches(path, pattern) for pattern in exclude)
    ]
