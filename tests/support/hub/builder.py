"""Writes repositories into the hub's folder, commit by commit, in the layout of store.py.

Files that did not change are hard links into the base commit. A commit appears by one rename and is never changed after
that, so a hub may serve the repository at the same time. Older commits stay until ``delete_commit``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from .store import (
    COMMITS,
    LFS_THRESHOLD,
    Entry,
    Repository,
    Store,
    commit_id,
    read_settings,
    write_listing,
    write_settings,
)

Content = bytes | Path


class RepoBuilder:
    """Fills one repository of a hub folder: ``RepoBuilder(root, "owner/name").commit({"config.json": b"{}"})``."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / name
        self._store = Store(root)
        (self.folder / COMMITS).mkdir(parents=True, exist_ok=True)
        self._repository()

    def commit(
        self, files: Mapping[str, Content], ref: str = "main", base: str | None = None, *, link: bool = False
    ) -> str:
        """Write a commit, move ``ref`` to it and return its id.

        Args:
            files: content, or a file to take it from; copied, see ``link``.
            ref: branch ("main"), tag ("refs/tags/v1") or pull request ("refs/pr/1") to create or move.
            base: revision whose files are kept; None starts from nothing.
            link: hard-link the given files where the file system can; they must not change afterwards.
        """
        return self._commit([self._entry(path, content) for path, content in files.items()], files, ref, base, link)

    def sparse(self, file: str, size: int, *, sha256: str | None = None) -> str:
        """Add a file of ``size`` zero bytes to main that takes no disk space; ``sha256`` skips hashing."""
        return self.sparse_files({file: size}, sha256=sha256)

    def sparse_files(self, sizes: Mapping[str, int], *, sha256: str | None = None) -> str:
        """Add several sparse files at once, see ``sparse``."""
        with tempfile.TemporaryDirectory(dir=self.folder / COMMITS, prefix=".sparse-") as staging:
            files: dict[str, Content] = {}
            for number, (path, size) in enumerate(sizes.items()):
                files[path] = zeros = Path(staging) / str(number)
                zeros.touch()
                os.truncate(zeros, size)
            entries = [_lfs_entry(path, size, sha256 or _sha256_of_zeros(size)) for path, size in sizes.items()]
            base = "main" if "main" in read_settings(self.folder).refs else None
            return self._commit(entries, files, "main", base, link=True)

    def configure(self, **settings: Any) -> RepoBuilder:
        """Change keys of repo.json, e.g. ``configure(lfs_globs=("*.bin",))``."""
        write_settings(self.folder, replace(read_settings(self.folder), **settings))
        return self

    def gate(self, token: str | None = None) -> RepoBuilder:
        """Let only ``token`` read the files; the listing stays public, as on the hub."""
        return self.configure(gated=True, token=token)

    def hide(self, token: str | None = None) -> RepoBuilder:
        """Make the repository private: without ``token`` it does not exist."""
        return self.configure(private=True, token=token)

    def delete_commit(self, commit: str) -> None:
        """Forget a commit and every ref to it, as after a force-push and garbage collection."""
        self.configure(refs={ref: at for ref, at in read_settings(self.folder).refs.items() if at != commit})
        shutil.rmtree(self.folder / COMMITS / commit)
        (self.folder / COMMITS / f"{commit}.json").unlink()

    def _repository(self) -> Repository:
        found = self._store.repository(self.name)
        if found is None:
            raise ValueError(f"repository name {self.name!r}: must be owner/name of letters, digits, '.', '_' and '-'")
        return found

    def _entry(self, path: str, content: Content) -> Entry:
        base = path.rpartition("/")[2]
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        globs = self._repository().settings.lfs_globs
        if size > LFS_THRESHOLD or any(fnmatchcase(path, glob) or fnmatchcase(base, glob) for glob in globs):
            return _lfs_entry(path, size, _sha256(content))
        return Entry(path, size, git_blob_id(content if isinstance(content, bytes) else content.read_bytes()))

    def _commit(self, new: list[Entry], files: Mapping[str, Content], ref: str, base: str | None, link: bool) -> str:
        kept = self._repository().snapshot(base) if base is not None else None
        entries = {**(kept.entries if kept else {}), **{entry.path: entry for entry in new}}
        entries = dict(sorted(entries.items()))
        commit = commit_id(entries)
        final = self.folder / COMMITS / commit
        if not final.exists():
            with tempfile.TemporaryDirectory(dir=self.folder / COMMITS, prefix=".new-") as staging:
                folder = Path(staging) / "files"
                folder.mkdir()
                for path, content in files.items():
                    _write(content, _placed(folder, path), link=link)
                for path in entries.keys() - files.keys():
                    assert kept
                    _link_or_copy(kept.folder / path, _placed(folder, path))
                write_listing(final, entries)
                folder.rename(final)
        self.configure(refs=read_settings(self.folder).refs | {ref: commit})
        return commit


def git_blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _lfs_entry(path: str, size: int, sha256: str) -> Entry:
    return Entry(path, size, git_blob_id(lfs_pointer(sha256, size)), sha256)


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Content of the pointer file that git stores in place of an LFS file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _sha256(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _sha256_of_zeros(size: int) -> str:
    digest, block = hashlib.sha256(), bytes(1 << 20)
    for _ in range(size // len(block)):
        digest.update(block)
    digest.update(block[: size % len(block)])
    return digest.hexdigest()


def _placed(folder: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"file path {path!r}: must be relative and stay inside the repository")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write(content: Content, target: Path, *, link: bool) -> None:
    if isinstance(content, bytes):
        target.write_bytes(content)
    elif link:
        _link_or_copy(content, target)
    else:
        shutil.copyfile(content, target)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
