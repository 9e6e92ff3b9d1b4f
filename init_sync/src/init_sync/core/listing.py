"""What a hub listed for one repository at one commit.

A content id names a file's bytes: ``sha256:<hex>`` for files in large-file storage, ``git-sha1:<hex>`` (the git blob
id) for the others; these are what the hub publishes, so they are what downloads are checked against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from init_sync.core.content_id import is_content_id

FORMAT = 1
COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
"""40 hexadecimal digits on the hub; mirrors may have names of their own, but it becomes part of addresses."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository."""

    path: str
    size: int
    """Bytes."""
    content_id: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Every file of a repository at a commit, and the revision that led there."""

    repo: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]
    checked: bool = False
    """Whether it was compared with a second listing, as far as the hub has one; version 0.1.0 did not."""

    def file(self, path: str) -> RemoteFile | None:
        return next((each for each in self.files if each.path == path), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "repo": self.repo,
            "revision": self.revision,
            "commit": self.commit,
            "checked": self.checked,
            "files": [{"path": each.path, "size": each.size, "id": each.content_id} for each in self.files],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Listing:
        """Raises KeyError, TypeError or ValueError for anything that ``to_json`` did not write."""
        if data["format"] != FORMAT:
            raise ValueError(f"listing format {data['format']!r}")
        if not COMMIT.fullmatch(data["commit"]):
            raise ValueError("a pin of what is no commit")
        files = tuple(_remote_file(each) for each in data["files"])
        checked = data.get("checked") is True
        return cls(str(data["repo"]), str(data["revision"]), data["commit"], files, checked)


def _remote_file(data: Mapping[str, Any]) -> RemoteFile:
    path, size, content_id = data["path"], data["size"], data["id"]
    if not (isinstance(path, str) and path and isinstance(size, int) and size >= 0 and is_content_id(content_id)):
        raise ValueError("a pin lists what no hub has")
    return RemoteFile(path, size, content_id)
