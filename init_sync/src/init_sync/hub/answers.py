"""What the hub's API answers about a repository: its description, and a page of its tree.

    GET /api/models/R/revision/V               {"sha": COMMIT, "siblings": [{"rfilename": PATH}, ...], ...}
    GET /api/models/R/tree/COMMIT?recursive    [{"type": "file", "path", "size", "oid", "lfs": {"oid", "size"}}, ...]

Only these fields are read: mirrors differ in the others. Every function raises ValueError, KeyError, TypeError or
AttributeError for what no hub says, because an answer may come from anything that sits at that address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from init_sync.core.content_id import GIT_SHA1, SHA256
from init_sync.core.crosscheck import Inconsistent, Page, ShortEntry, true_size
from init_sync.core.listing import COMMIT, RemoteFile
from init_sync.hub.transport import origin

HASH = re.compile(r"[0-9A-Fa-f]{1,128}")
HUB_HOSTS = ("huggingface.co", "hf.co")
"""A mirror may pass on the addresses of the hub itself."""


@dataclass(frozen=True, slots=True)
class Description:
    """The commit that a revision stands for, and the short listing."""

    commit: str
    short: tuple[ShortEntry, ...] | None = None
    """None when the hub does not give one."""


def read_description(data: Any) -> Description:
    commit, siblings = data["sha"], data.get("siblings")
    if not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
        raise ValueError(f"no commit in the answer, but {str(commit)[:100]!r}")
    # "No files" is also what a hub says that could not list them in time; whether there are none, the tree knows.
    return Description(commit, tuple(_short_entry(each) for each in siblings) if siblings else None)


def read_page(data: Any) -> Page:
    if not isinstance(data, list):
        raise ValueError(f"a {type(data).__name__} in place of a page of files")
    files = tuple(_remote_file(each) for each in data if each["type"] == "file")
    return Page(files, tuple(_path(each["path"]) for each in data if each["type"] != "file"))


def repo_commit(headers: Mapping[str, str]) -> str | None:
    """The commit that the head of an answer names."""
    commit = headers.get("X-Repo-Commit") or ""
    return commit if COMMIT.fullmatch(commit) else None


def next_page(link: str, current: str, endpoint: str) -> str:
    """The address of the next page, always at our own endpoint: the token must not go elsewhere.

    Mirrors pass on the hub's own address, leave the host out, or name themselves without TLS or their path prefix.
    """
    target, ours = urlsplit(urljoin(current, link)), urlsplit(endpoint)
    same_host = target.hostname == ours.hostname and target.port in (None, ours.port)
    if not (same_host or origin(target.geturl()) == origin(endpoint) or target.hostname in HUB_HOSTS):
        where = f"{target.scheme}://{target.netloc.rpartition('@')[2]}"
        raise Inconsistent(
            f"the next page of the listing is on another server, {where[:100]!r}, where the token must not go"
        )
    prefix = ours.path.rstrip("/")
    path = target.path if target.path.startswith(f"{prefix}/") else prefix + target.path
    return f"{ours.scheme}://{ours.netloc}{path}" + (f"?{target.query}" if target.query else "")


def _short_entry(sibling: Any) -> ShortEntry:
    path, size, lfs = _path(sibling["rfilename"]), _size(sibling.get("size")), sibling.get("lfs")
    lfs = lfs if isinstance(lfs, dict) else {}
    lfs_size = _size(lfs.get("size"))
    size = lfs_size if size is None else true_size(path, size, lfs_size)
    return ShortEntry(path, size, _hash(lfs.get("sha256")), _hash(sibling.get("blobId")))


def _remote_file(entry: Any) -> RemoteFile:
    path, size, lfs = _path(entry["path"]), _size(entry.get("size")), entry.get("lfs")
    content = (lfs.get("oid") or lfs.get("sha256")) if lfs else entry["oid"]
    lfs_size = _size(lfs.get("size")) if lfs else None
    size = lfs_size if size is None else size
    if size is None or _hash(content) is None:
        raise ValueError(f"{path[:100]!r} is listed with size {entry.get('size')!r} and hash {content!r}"[:300])
    return RemoteFile(path, true_size(path, size, lfs_size), f"{SHA256 if lfs else GIT_SHA1}:{content}")


def _path(path: object) -> str:
    if not (isinstance(path, str) and path):
        raise ValueError(f"a file named {path!r} is listed"[:200])
    path.encode()  # half a surrogate pair is no name either: UnicodeEncodeError is a ValueError
    return path


def _size(size: object) -> int | None:
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def _hash(digest: object) -> str | None:
    return digest if isinstance(digest, str) and HASH.fullmatch(digest) else None
