"""The JSON forms in which the hub lists a repository: its description with all files, and entries of its tree.

Folders have no content of their own here; their oid follows from their path.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any

from .builder import git_blob_id, lfs_pointer
from .store import Entry, Repository, Snapshot

Json = dict[str, Any]
_DATE = "2025-01-01T00:00:00.000Z"


def model_json(repo: Repository, snapshot: Snapshot, *, blobs: bool) -> Json:
    return {
        "_id": hashlib.sha1(repo.name.encode(), usedforsecurity=False).hexdigest()[:24],
        "id": repo.name,
        "modelId": repo.name,
        "author": repo.name.partition("/")[0],
        "sha": snapshot.commit,
        "private": repo.settings.private,
        "gated": "manual" if repo.settings.gated else False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "createdAt": _DATE,
        "lastModified": _DATE,
        "siblings": [_sibling(entry, blobs=blobs) for entry in snapshot.entries.values()],
    }


def tree_json(snapshot: Snapshot) -> list[Json]:
    """Every entry by path, folders among them."""
    folders = {str(folder) for path in snapshot.entries for folder in PurePosixPath(path).parents} - {"."}
    entries = [_file(entry) for entry in snapshot.entries.values()]
    entries += [{"type": "directory", "oid": git_blob_id(path.encode()), "size": 0, "path": path} for path in folders]
    return sorted(entries, key=lambda entry: str(entry["path"]))


def _sibling(entry: Entry, *, blobs: bool) -> Json:
    sibling: Json = {"rfilename": entry.path}
    if blobs:
        sibling |= {"size": entry.size, "blobId": entry.blob_id}
        if entry.sha256:
            sibling["lfs"] = {"sha256": entry.sha256, **_stored(entry)}
    return sibling


def _file(entry: Entry) -> Json:
    found: Json = {"type": "file", "oid": entry.blob_id, "size": entry.size, "path": entry.path}
    if entry.sha256:
        found["lfs"] = {"oid": entry.sha256, **_stored(entry)}
    return found


def _stored(entry: Entry) -> Json:
    return {"size": entry.size, "pointerSize": len(lfs_pointer(entry.sha256 or "", entry.size))}
