"""The folder of repositories that the hub serves.

    <root>/<owner>/<name>/repo.json            settings and references
    <root>/<owner>/<name>/commits/<id>/...     the files of a commit
    <root>/<owner>/<name>/commits/<id>.json    its listing

There is no git. ``RepoBuilder`` writes this; a commit never changes, so its listing is read once, while repo.json is
read again for every request. A file in git is known by its blob id; a file in LFS by the sha256 of its content, and in
listings by the blob id of its pointer file too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

COMMITS = "commits"
SETTINGS = "repo.json"
# What the hub's default .gitattributes sends to LFS, as far as model repositories use it.
LFS_GLOBS = tuple(
    f"*.{suffix}"
    for suffix in ("bin", "ckpt", "h5", "model", "msgpack", "onnx", "pt", "pth", "safetensors", "tar", "zip")
)
# The hub refuses larger files outside of LFS.
LFS_THRESHOLD = 10 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """What the listing of a commit says of a file; ``sha256`` is None outside of LFS."""

    path: str
    size: int
    blob_id: str
    sha256: str | None = None

    @property
    def etag(self) -> str:
        return self.sha256 or self.blob_id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of a repository at one commit, ordered by path."""

    commit: str
    folder: Path
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Settings:
    """Who may read a repository, which of its files are in LFS, and the commit of each reference."""

    gated: bool = False
    private: bool = False
    token: str | None = None
    lfs_globs: tuple[str, ...] = LFS_GLOBS
    refs: dict[str, str] = field(default_factory=dict)


class RevisionNotFoundError(LookupError):
    """The repository has no such branch, tag or commit."""


class Repository:
    """One repository at the moment of one request."""

    def __init__(self, name: str, folder: Path, known: dict[Path, Snapshot]) -> None:
        self.name = name
        self.settings = read_settings(folder)
        self._commits = folder / COMMITS
        self._known = known

    def snapshot(self, revision: str) -> Snapshot:
        """List a branch, tag, reference or full commit id."""
        refs = self.settings.refs
        folder = self._commits / (refs.get(revision) or refs.get(f"refs/tags/{revision}") or revision)
        if folder.parent != self._commits or not folder.is_dir():
            raise RevisionNotFoundError(revision)
        if folder not in self._known:
            self._known[folder] = read_commit(folder)
        return self._known[folder]


class Store:
    """All repositories under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, Snapshot] = {}

    def repository(self, name: str) -> Repository | None:
        folder = self.root / name
        return Repository(name, folder, self._known) if _NAME.fullmatch(name) and folder.is_dir() else None

    def repositories(self) -> Iterator[Repository]:
        for folder in sorted(self.root.glob("[!.]*/[!.]*/")):
            yield Repository(f"{folder.parent.name}/{folder.name}", folder, self._known)

    def tokens(self) -> frozenset[str]:
        """Tokens that belong to somebody: a known token without access is refused otherwise than an unknown one."""
        return frozenset(repo.settings.token for repo in self.repositories() if repo.settings.token)


def read_settings(folder: Path) -> Settings:
    try:
        raw = json.loads((folder / SETTINGS).read_text())
    except FileNotFoundError:
        return Settings()
    return Settings(**{**raw, "lfs_globs": tuple(raw["lfs_globs"])})


def write_settings(folder: Path, settings: Settings) -> None:
    _replace(folder / SETTINGS, json.dumps(asdict(settings), indent=2))


def read_commit(folder: Path) -> Snapshot:
    listed = json.loads(folder.with_suffix(".json").read_text())
    return Snapshot(folder.name, folder, {entry["path"]: Entry(**entry) for entry in listed})


def write_listing(folder: Path, entries: Mapping[str, Entry]) -> None:
    _replace(folder.with_suffix(".json"), json.dumps([asdict(entry) for entry in entries.values()]))


def commit_id(entries: Mapping[str, Entry]) -> str:
    """The same contents give the same commit."""
    lines = (f"{entry.etag} {path}\n" for path, entry in entries.items())
    return hashlib.sha1("".join(lines).encode(), usedforsecurity=False).hexdigest()


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)
