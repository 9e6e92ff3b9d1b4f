"""A snapshot in the JSON of the hub's API, as ``hub.answers`` and huggingface_hub read it.

What a pin does not hold is left out (dates, authors, tags), but two things: the blob id of a file in large-file storage
is that of its pointer, which size and hash decide; and a directory has git's id of nothing in place of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from init_sync.core.content_id import SHA256
from init_sync.core.listing import RemoteFile
from init_sync.serve.catalog import Snapshot

Json = dict[str, Any]
NO_ID = "0" * 40
PAGE = 1_000
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n"


def description(snapshot: Snapshot, *, blobs: bool) -> Json:
    return {
        "id": snapshot.repo,
        "modelId": snapshot.repo,
        "sha": snapshot.commit,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "siblings": [_sibling(file, blobs) for file in snapshot.entries.values() if file],
    }


def below(snapshot: Snapshot, directory: str, *, recursive: bool) -> tuple[str, ...]:
    """Paths of the entries in a directory; empty when there is no such directory."""
    if not directory and recursive:
        return tuple(snapshot.entries)
    prefix = f"{directory}/" if directory else ""
    inside = (path for path in snapshot.entries if path.startswith(prefix))
    return tuple(path for path in inside if recursive or "/" not in path[len(prefix) :])


def entries(snapshot: Snapshot, paths: Iterable[str]) -> list[Json]:
    """Unknown paths are left out, as on the hub."""
    return [_entry(path, snapshot.entries[path]) for path in paths if path in snapshot.entries]


def _entry(path: str, file: RemoteFile | None) -> Json:
    if file is None:
        return {"type": "directory", "oid": NO_ID, "size": 0, "path": path}
    entry: Json = {"type": "file", "oid": _blob_id(file), "size": file.size, "path": path}
    if is_large(file):
        entry["lfs"] = {"oid": digest(file), "size": file.size, "pointerSize": len(_pointer(file))}
    return entry


def _sibling(file: RemoteFile, blobs: bool) -> Json:
    if not blobs:
        return {"rfilename": file.path}
    sibling: Json = {"rfilename": file.path, "size": file.size, "blobId": _blob_id(file)}
    if is_large(file):
        sibling["lfs"] = {"sha256": digest(file), "size": file.size, "pointerSize": len(_pointer(file))}
    return sibling


def is_large(file: RemoteFile) -> bool:
    """Whether it is in large-file storage."""
    return file.content_id.startswith(SHA256)


def digest(file: RemoteFile) -> str:
    return file.content_id.partition(":")[2]


def _blob_id(file: RemoteFile) -> str:
    if not is_large(file):
        return digest(file)
    pointer = _pointer(file)
    return hashlib.sha1(b"blob %d\0%s" % (len(pointer), pointer), usedforsecurity=False).hexdigest()


def _pointer(file: RemoteFile) -> bytes:
    return POINTER.format(digest=digest(file), size=file.size).encode()
