"""The JSON forms in which the hub lists a repository: siblings, tree entries, refs.

Folders have no content of their own here; their oid is a sha1 over what lies below, which is enough to be stable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from .hashing import lfs_pointer
from .store import Entry, Repository, RevisionNotFoundError, Snapshot

Json = dict[str, Any]
_DATE = "2025-01-01T00:00:00.000Z"


def model_json(repo: Repository, snapshot: Snapshot, *, blobs: bool) -> Json:
    settings = repo.settings
    return {
        "_id": hashlib.sha1(repo.name.encode(), usedforsecurity=False).hexdigest()[:24],
        "id": repo.name,
        "modelId": repo.name,
        "author": repo.name.partition("/")[0],
        "sha": snapshot.commit,
        "private": settings.private,
        "gated": "manual" if settings.gated else False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "createdAt": _DATE,
        "lastModified": _DATE,
        "siblings": [_sibling(entry, blobs=blobs) for entry in snapshot.entries.values()],
    }


def tree_json(snapshot: Snapshot, below: str, *, recursive: bool, expand: bool) -> list[Json] | None:
    """Entries under the folder ``below`` ("" for all), folders included; None if there is no such folder."""
    prefix = f"{below}/" if below else ""
    inside = [entry for path, entry in snapshot.entries.items() if path.startswith(prefix)]
    if below and not inside:
        return None
    folders = {folder for entry in inside for folder in _parents(entry.path) if folder.startswith(prefix)}
    paths = sorted(folders | {entry.path for entry in inside})
    shown = [path for path in paths if recursive or "/" not in path.removeprefix(prefix)]
    return list(entries_json(snapshot, shown, expand=expand))


def entries_json(snapshot: Snapshot, paths: Iterable[str], *, expand: bool) -> Iterable[Json]:
    """Tree entries of the given files and folders; unknown paths are silently left out, as on the hub."""
    for path in paths:
        entry = snapshot.entries.get(path)
        found = _file(entry) if entry else _folder(snapshot, path)
        if found is not None:
            yield found | (_expansion(snapshot) if expand else {})


def refs_json(repo: Repository, *, pull_requests: bool) -> Json:
    groups: dict[str, list[Json]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    for ref in repo.refs():
        group, name = _ref_group(ref)
        try:
            commit = repo.snapshot(ref).commit
        except RevisionNotFoundError:
            continue  # a ref to a folder that is gone
        full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        groups[group].append({"name": name, "ref": full, "targetCommit": commit})
    if not pull_requests:
        del groups["pullRequests"]
    return dict(groups)


def _sibling(entry: Entry, *, blobs: bool) -> Json:
    sibling: Json = {"rfilename": entry.path}
    if blobs:
        sibling |= {"size": entry.size, "blobId": entry.blob_id}
        if entry.sha256:
            sibling["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": _pointer_size(entry)}
    return sibling


def _file(entry: Entry) -> Json:
    found: Json = {"type": "file", "oid": entry.blob_id, "size": entry.size, "path": entry.path}
    if entry.sha256:
        found["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": _pointer_size(entry)}
    return found


def _folder(snapshot: Snapshot, path: str) -> Json | None:
    inside = [f"{entry.blob_id} {name}" for name, entry in snapshot.entries.items() if name.startswith(f"{path}/")]
    if not inside:
        return None
    oid = hashlib.sha1("\n".join(inside).encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def _expansion(snapshot: Snapshot) -> Json:
    return {"lastCommit": {"id": snapshot.commit, "title": "Upload", "date": _DATE}}


def _pointer_size(entry: Entry) -> int:
    return len(lfs_pointer(entry.sha256 or "", entry.size))


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _ref_group(ref: str) -> tuple[str, str]:
    for prefix, group in (("refs/tags/", "tags"), ("refs/convert/", "converts")):
        if ref.startswith(prefix):
            return group, ref.removeprefix(prefix)
    return ("pullRequests", ref) if ref.startswith("refs/pr/") else ("branches", ref.removeprefix("refs/heads/"))
