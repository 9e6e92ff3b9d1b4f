"""File patterns with the meaning that ``huggingface_hub`` gives them in ``allow_patterns`` and ``ignore_patterns``.

``*`` matches any characters including ``/``, ``?`` one character, ``[...]`` one of a set; a trailing ``/`` means
everything below that directory. Matching is case-sensitive. A pattern that is a file's very name takes that file, so
that brackets in names need no escape; ``[[]`` is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def matches(path: str, pattern: str) -> bool:
    return path == pattern or fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern)


def select(paths: Iterable[str], include: tuple[str, ...] | None, exclude: tuple[str, ...]) -> list[str]:
    """The paths that some ``include`` pattern wants (None: all) and no ``exclude`` pattern drops, in their order."""
    return [
        path
        for path in paths
        if (include is None or any(matches(path, pattern) for pattern in include))
        and not any(matches(path, pattern) for pattern in exclude)
    ]


def nearest(paths: Iterable[str], pattern: str) -> list[str]:
    """Up to three names that a pattern which matches nothing may have meant."""
    from difflib import get_close_matches  # only for a manifest that has to be corrected

    names = sorted(paths)
    plain = pattern.lower().strip("*/")
    ending = plain.rpartition("/")[2].rpartition("*")[2]
    alike = [name for name in names if ending and ending in name.lower()]
    return (alike or get_close_matches(plain, names, n=3, cutoff=0.4))[:3]
