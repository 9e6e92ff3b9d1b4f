"""Caches that need a receipt which another cache wrote: two manifests on one volume may name the same model.

``.modelcache/needs/<digest>-<cache>``, an empty file: the first 16 digits of the requirement's digest, and of the
SHA-256 of the cache's name; of an empty name for a receipt of version 0.1.0, which does not tell its cache.

It takes no lock to say so: a cache that finds a model complete must not wait for the syncs of others.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from init_sync.volume.layout import MAX_STATE_FILES, NEEDS, cache_key
from init_sync.volume.volume import Volume

NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})")
"""Nothing else in needs/ is ever read or removed."""


def note_need(volume: Volume, requirement: str, cache: str) -> None:
    """Raises OSError when the volume cannot be written to."""
    path = f"{NEEDS}/{requirement[:16]}-{cache_key(cache)}"
    if volume.exists(path):
        return
    volume.make_directory(NEEDS)
    with suppress(FileExistsError):
        os.close(volume.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    volume.sync_directory(NEEDS)


def read_needs(volume: Volume) -> dict[str, set[str]]:
    """Keys of caches by requirement. Raises OSError, also for more than any number of caches would leave."""
    found: dict[str, set[str]] = {}
    names = volume.names(NEEDS)
    if len(names) > MAX_STATE_FILES:
        raise OSError(f"{volume.at(NEEDS)} has {len(names):,} files. Remove those that no cache needs")
    for name in names:
        if match := NAME.fullmatch(name):
            found.setdefault(match[1], set()).add(match[2])
    return found


def forget_need(volume: Volume, requirement: str, cache: str) -> None:
    with suppress(FileNotFoundError):
        volume.unlink(f"{NEEDS}/{requirement[:16]}-{cache_key(cache)}")
