"""Writes repositories into the hub's folder, commit by commit.

Each commit is a folder ``commits/<sha>`` with all files of that commit; files that did not change are hard links into
the base commit. ``refs`` in repo.json point to commits. A commit folder appears by one rename and is never changed
after that, so a hub may serve the repository at the same time. Older commits stay until ``delete_commit``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from .hashing import HashCache
from .settings import read_settings, write_settings
from .store import COMMITS, Entry, Repository, RevisionNotFoundError, Store, commit_id


class RepoBuilder:
    """Fills one repository of a hub folder: ``RepoBuilder(root, "owner/name").commit({"config.json": b"{}"})``."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / name
        self._store = Store(root, HashCache(root, settled=True))
        (self.folder / COMMITS).mkdir(parents=True, exist_ok=True)
        self._repository()

    def commit(
        self,
        files: Mapping[str, bytes | Path],
        ref: str = "main",
        base: str | None = None,
        remove: Iterable[str] = (),
        *,
        link: bool = False,
    ) -> str:
        """Write a commit, move ``ref`` to it and return its id.

        Args:
            files: content, or a file to take it from; copied, see ``link``.
            ref: branch ("main"), tag ("refs/tags/v1") or pull request ("refs/pr/1") to create or move.
            base: revision whose files are kept; None starts from nothing.
            remove: paths to leave out of ``base``.
            link: hard-link the given files where the file system can; they must not change afterwards.
        """
        kept = dict(self._repository().snapshot(base).entries) if base is not None else {}
        for path in remove:
            if kept.pop(path, None) is None:
                raise ValueError(f"removing {path!r} from {self.name}: the base {base!r} has no such file")
        with tempfile.TemporaryDirectory(dir=self.folder / COMMITS, prefix=".new-") as staging:
            folder = Path(staging) / "files"
            folder.mkdir()
            for path, entry in kept.items():
                if path not in files:
                    _link_or_copy(entry.location, _placed(folder, path))
            for path, content in files.items():
                _write(content, _placed(folder, path), link=link)
            return self._publish(folder, ref)

    def sparse(self, file: str, size: int, ref: str = "main", *, sha256: str | None = None) -> str:
        """Commit a file of ``size`` zero bytes that takes no disk space on top of ``ref``; ``sha256`` skips hashing."""
        return self.sparse_files({file: size}, ref, sha256=sha256)

    def sparse_files(self, sizes: Mapping[str, int], ref: str = "main", *, sha256: str | None = None) -> str:
        """Commit several sparse files at once, see ``sparse``."""
        with tempfile.TemporaryDirectory(dir=self.folder / COMMITS, prefix=".sparse-") as staging:
            files = {}
            for number, (path, size) in enumerate(sizes.items()):
                files[path] = Path(staging) / str(number)
                with files[path].open("wb") as stream:
                    stream.truncate(size)
                self._store.hashes.record_sha256(files[path], sha256 or self._store.hashes.sha256_of_zeros(size))
            base = ref if ref in self._repository().refs() else None
            return self.commit(files, ref, base, link=True)

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

    def point(self, ref: str, commit: str) -> RepoBuilder:
        """Create or move a ref to a commit that exists, e.g. back to an older one."""
        if not (self.folder / COMMITS / commit).is_dir():
            raise RevisionNotFoundError(f"{self.name} has no commit {commit}")
        return self.configure(refs=read_settings(self.folder).refs | {ref: f"{COMMITS}/{commit}"})

    def delete_commit(self, commit: str) -> RepoBuilder:
        """Forget a commit and every ref to it, as after a force-push and garbage collection."""
        refs = {ref: at for ref, at in read_settings(self.folder).refs.items() if at != f"{COMMITS}/{commit}"}
        self.configure(refs=refs)
        shutil.rmtree(self.folder / COMMITS / commit)
        return self

    def _repository(self) -> Repository:
        found = self._store.repository(self.name)
        if found is None:
            raise ValueError(f"repository name {self.name!r}: must be owner/name of letters, digits, '.', '_' and '-'")
        return found

    def _publish(self, folder: Path, ref: str) -> str:
        entries: dict[str, Entry] = self._repository().read_folder(folder).entries
        commit = commit_id(entries)
        final = self.folder / COMMITS / commit
        if not final.exists():
            folder.rename(final)
        self.point(ref, commit)
        return commit


def _placed(folder: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"file path {path!r}: must be relative and stay inside the repository")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write(content: bytes | Path, target: Path, *, link: bool) -> None:
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
