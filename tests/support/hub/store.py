"""The folder of repositories that the hub serves, read again for every request.

Layout::

    <root>/<owner>/<name>/repo.json            optional, see settings.py
    <root>/<owner>/<name>/main/...             a plain folder is a revision; its name is the quoted ref
    <root>/<owner>/<name>/refs%2Fpr%2F1/...
    <root>/<owner>/<name>/commits/<sha>/...    an immutable commit, written by RepoBuilder

There is no git. The commit id of a plain folder is the sha1 over its sorted (path, content id) pairs, so it changes
with the content, and the former id is then unknown; a folder under ``commits`` keeps its name as id for as long as it
exists. Symbolic links are followed, empty folders do not exist, abbreviated commit ids are not found.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

from .hashing import HashCache, git_blob_id, lfs_pointer
from .settings import RepoSettings, read_settings

COMMITS = "commits"
_COMMIT_ID = re.compile(r"^[0-9a-f]{40}$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a snapshot: what the listing says of it and where its bytes are."""

    path: str
    size: int
    blob_id: str
    sha256: str | None
    location: Path

    @property
    def etag(self) -> str:
        return self.sha256 or self.blob_id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of a repository at one commit, ordered by path."""

    commit: str
    entries: dict[str, Entry]


CommitKey = tuple[Path, int, tuple[str, ...]]


class RevisionNotFoundError(LookupError):
    """The repository has no such branch, tag or commit."""


class Repository:
    """One repository at the moment of one request."""

    def __init__(self, name: str, folder: Path, store: Store) -> None:
        self.name = name
        self.folder = folder
        self.settings: RepoSettings = read_settings(folder)
        self._hashes = store.hashes
        self._commits = store.commits

    def refs(self) -> dict[str, Path]:
        """Full ref name or branch name -> folder."""
        plain = {unquote(path.name): path for path in sorted(self.folder.iterdir()) if _is_revision(path)}
        return plain | {ref: self.folder / where for ref, where in self.settings.refs.items()}

    def snapshot(self, revision: str) -> Snapshot:
        """List a branch, tag, ref or full commit id."""
        refs = self.refs()
        for ref in (revision, f"refs/tags/{revision}", revision.removeprefix("refs/heads/")):
            if ref in refs:
                return self._read(refs[ref])
        if _COMMIT_ID.match(revision):
            commit = self.folder / COMMITS / revision
            if commit.is_dir():
                return self._read(commit)
            for folder in refs.values():
                if (snapshot := self._read(folder)).commit == revision:
                    return snapshot
        raise RevisionNotFoundError(revision)

    def _read(self, folder: Path) -> Snapshot:
        """A commit does not change, so it is listed once; pieces of a large file come in by the hundred."""
        if folder.parent.name != COMMITS or not folder.is_dir():
            return self.read_folder(folder)
        key = (folder, self.settings.lfs_threshold, self.settings.lfs_globs)
        if key not in self._commits:
            self._commits[key] = self.read_folder(folder)
        return self._commits[key]

    def read_folder(self, folder: Path) -> Snapshot:
        try:
            entries = {path: self._entry(path, Path(found.path)) for path, found in sorted(_walk(folder))}
        except FileNotFoundError as e:  # a ref to a deleted commit, or a file that went away during the walk
            raise RevisionNotFoundError(folder.name) from e
        self._hashes.save()
        commit = folder.name if folder.parent.name == COMMITS else commit_id(entries)
        return Snapshot(commit, entries)

    def _entry(self, path: str, location: Path) -> Entry:
        size = location.stat().st_size
        if not self._in_lfs(path, size):
            return Entry(path, size, self._hashes.blob_id(location), None, location)
        sha256 = self._hashes.sha256(location)
        return Entry(path, size, git_blob_id(lfs_pointer(sha256, size)), sha256, location)

    def _in_lfs(self, path: str, size: int) -> bool:
        base = path.rpartition("/")[2]
        globs = self.settings.lfs_globs
        return size > self.settings.lfs_threshold or any(fnmatchcase(path, g) or fnmatchcase(base, g) for g in globs)


class Store:
    """All repositories under one folder."""

    def __init__(self, root: Path, hashes: HashCache | None = None) -> None:
        self.root = root
        self.hashes = hashes or HashCache(root)
        self.commits: dict[CommitKey, Snapshot] = {}

    def repository(self, name: str) -> Repository | None:
        owner, _, short = name.partition("/")
        if not (_NAME.match(owner) and _NAME.match(short)):
            return None
        folder = self.root / owner / short
        return Repository(name, folder, self) if folder.is_dir() else None

    def repositories(self) -> Iterator[Repository]:
        for folder in sorted(self.root.glob("[!.]*/[!.]*/")):
            name = f"{folder.parent.name}/{folder.name}"
            if (found := self.repository(name)) is not None:
                yield found

    def tokens(self) -> frozenset[str]:
        """Tokens that belong to somebody: a known token without access is refused otherwise than an unknown one."""
        return frozenset(repo.settings.token for repo in self.repositories() if repo.settings.token)

    def warm(self) -> int:
        """Hash everything now, so that no first request waits for it; return the number of files."""
        snapshots = [repo.snapshot(ref) for repo in self.repositories() for ref in repo.refs()]
        return sum(len(snapshot.entries) for snapshot in snapshots)


def commit_id(entries: dict[str, Entry]) -> str:
    lines = (f"{entry.etag} {path}\n" for path, entry in sorted(entries.items()))
    return hashlib.sha1("".join(lines).encode(), usedforsecurity=False).hexdigest()


def _is_revision(path: Path) -> bool:
    return path.is_dir() and path.name != COMMITS and not path.name.startswith(".")


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}", entry
