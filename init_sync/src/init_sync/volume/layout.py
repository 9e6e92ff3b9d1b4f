"""Where everything of ours lies on a volume, and how a small file of ours is read and written.

    <volume>/
      <model path>/...                          model files, under their final names only when complete and verified
      .modelcache/
        volume.json                             the volume's random id (volume.identity)
        receipts/<directory>-<digest>.json      what was verified (core.receipt)
        needs/<digest>-<cache>                  another cache needs that receipt too (volume.needs)
        owned/<cache>-<digest>                  what syncs of one cache put on the volume (volume.owned)
        pins/<directory>-<digest>.json          the commit that a branch was resolved to, with its listing
        partial/<content id>.part, .journal     bytes on their way (volume.partial)
        lock/<generation>                       the syncing process (volume.lock)
        tmp/<name>.<random>                     files that are about to be renamed into place

A name never shows half a file: text is written to tmp/, synced and renamed; model files are renamed from partial/.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from init_sync.core.spec import Model
from init_sync.core.volumepath import STATE_DIRECTORY
from init_sync.volume.volume import Volume, sync_file

IDENTITY = f"{STATE_DIRECTORY}/volume.json"
RECEIPTS = f"{STATE_DIRECTORY}/receipts"
NEEDS = f"{STATE_DIRECTORY}/needs"
OWNED = f"{STATE_DIRECTORY}/owned"
PINS = f"{STATE_DIRECTORY}/pins"
PARTIALS = f"{STATE_DIRECTORY}/partial"
LOCK = f"{STATE_DIRECTORY}/lock"
TMP = f"{STATE_DIRECTORY}/tmp"  # noqa: S108  # on the volume

MAX_STATE_BYTES = 16 << 20
"""Of one file of ours: a receipt of 50,000 files. What is larger was not written by a sync."""
MAX_STATE_FILES = 4096
MAX_STATE_FILES_BYTES = 128 << 20
"""Of all in one directory that are looked through: a receipt has some 200 to 300 bytes for each file of its model."""
MAX_SLUG_BYTES = 200
TEMPORARY = re.compile(r"[a-z0-9-]+\.[0-9a-f]{12}")
RECEIPT = re.compile(r".*-[0-9a-f]{16}\.json")


def receipt_path(model: Model) -> str:
    return f"{RECEIPTS}/{slug(model.path)}-{model.requirement_digest()[:16]}.json"


def cache_key(cache: str) -> str:
    return hashlib.sha256(cache.encode()).hexdigest()[:16]


def owned_path(cache: str) -> str:
    return f"{OWNED}/{slug(cache)}-{cache_key(cache)}"


def pin_path(model: Model, revision: str) -> str:
    """Pins belong to a directory, so that a changed pattern does not mix two commits in it."""
    key = hashlib.sha256(f"{model.path}\0{model.repo}\0{revision}".encode()).hexdigest()
    return f"{PINS}/{slug(model.path)}-{key[:16]}.json"


def partial_path(content_id: str) -> str:
    return f"{PARTIALS}/{content_id.replace(':', '-')}"


def temporary_path(kind: str) -> str:
    """A name in tmp/ that no other process or container uses."""
    return f"{TMP}/{kind}.{os.urandom(6).hex()}"


def slug(path: str) -> str:
    """For a file's name, as people know it. File systems count bytes, not characters."""
    return path.replace("/", "--")[:80].encode()[:MAX_SLUG_BYTES].decode(errors="ignore")


def sweep_temporary(volume: Volume) -> None:
    """Remove what killed runs left in tmp/; nobody else writes while the caller holds the lock."""
    for name in volume.names(TMP):
        if TEMPORARY.fullmatch(name):
            try:
                volume.unlink(f"{TMP}/{name}")
            except OSError:
                volume.remove_directory(f"{TMP}/{name}")  # a directory of the probe's


def state_files(volume: Volume, folder: str) -> Iterator[str]:
    """Paths of the files in a directory of ours; none when it cannot be read.

    Only so many: a neighbour can make any number of files there, and sparse ones cost nothing.
    """
    names: list[str] = []
    with suppress(OSError):
        names = volume.names(folder)[:MAX_STATE_FILES]
    bytes_left = MAX_STATE_FILES_BYTES
    for name in names:
        with suppress(OSError):
            bytes_left -= volume.lstat(f"{folder}/{name}").st_size
        if bytes_left < 0:
            return
        yield f"{folder}/{name}"


def read_json(volume: Volume, path: str) -> Any:
    """What ``write_json`` wrote; None when there is nothing, or anything but that: both mean that nothing is known."""
    try:
        with volume.open_file(path) as file:
            data = json.loads(file.read(MAX_STATE_BYTES))  # what was cut is not valid
        check = data.pop("check")
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    return data if check == _check(data) else None


def write_json(volume: Volume, path: str, data: dict[str, Any], mtime_ns: int | None = None) -> None:
    """Write a file of ours so that it is there complete or not at all, also after a power failure.

    ``mtime_ns``: the time that it is to have.
    ``check`` is added, a hash over everything else: a flipped bit in a receipt must not vouch for wrong content.
    """
    text = json.dumps({**data, "check": _check(data)}, ensure_ascii=False, indent=1).encode()
    volume.make_directory(TMP)
    volume.make_directory(path.rpartition("/")[0])
    temporary = temporary_path("state")
    with os.fdopen(volume.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(text)
        file.flush()
        if mtime_ns is not None:
            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
        sync_file(file.fileno())
    volume.rename(temporary, path)


def _check(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]
