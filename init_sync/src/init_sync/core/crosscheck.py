"""Whether what a hub lists is the complete repository: pages put together and compared with the short listing.

The paged tree (``/api/models/R/tree/COMMIT``) decides which files there are. The short listing (``siblings`` of
``/api/models/R/revision/V``) names them a second time, so a page that was lost on the way is noticed. Nothing is ever
left out because only one of the two has it: a difference is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from init_sync.core.content_id import GIT_SHA1, SHA256
from init_sync.core.listing import RemoteFile

RELIABLE_NAMES = 1_000
"""From so many files on, the hub may cut its short listing (huggingface_hub, pull request 3565): names that it lacks
are then no error, as long as the tree has all the names that it gives."""
FULL_PAGE = 1_000
"""Entries on a page of the hub's tree."""
MAX_ENTRIES = 200_000
"""Files and directories; the hub recommends at most half as many. What a hostile server lists must fit into memory."""
POINTER_BYTES = 200
"""A pointer to large-file storage has about 130 bytes. Some mirrors list its size, or 0, as that of the file."""


class Inconsistent(Exception):
    """Two answers about one commit differ, or one contradicts itself."""


@dataclass(frozen=True, slots=True)
class ShortEntry:
    """A file in the short listing; None for what it does not tell."""

    path: str
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    blob_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the tree."""

    files: tuple[RemoteFile, ...]
    others: tuple[str, ...] = ()
    """Paths of directories, and of what is neither file nor directory."""

    @property
    def entries(self) -> int:
        return len(self.files) + len(self.others)


@dataclass(frozen=True, slots=True)
class Tree:
    """The pages of a tree, put together."""

    files: dict[str, RemoteFile] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    def add(self, page: Page) -> bool:
        """Whether the page has anything that the pages before it had not."""
        before = len(self.files) + len(self.others)
        for file in page.files:
            known = self.files.setdefault(file.path, file)
            if known != file:
                raise Inconsistent(f"{_shown([file.path])} is listed twice: {_content(known)} and {_content(file)}")
        self.others.update(page.others)
        entries = len(self.files) + len(self.others)
        if entries > MAX_ENTRIES:
            raise Inconsistent(f"more than {MAX_ENTRIES} files and directories are listed")
        return entries > before

    def check_paths(self) -> None:
        """Raises Inconsistent for a path that is a file and a directory."""
        directories = set(self.others)
        for path in self.files:
            parent = path.rpartition("/")[0]
            while parent and parent not in directories:
                directories.add(parent)
                parent = parent.rpartition("/")[0]
        if both := directories & self.files.keys():
            raise Inconsistent(f"{_shown(both)} is listed as a file and as a directory")


def check_short_listing(files: Mapping[str, RemoteFile], short: Sequence[ShortEntry]) -> None:
    """Raises Inconsistent, with both figures, when the short listing contradicts the tree."""
    names = {each.path for each in short}
    only_short, only_tree = names - files.keys(), files.keys() - names
    if only_short or (only_tree and len(names) < RELIABLE_NAMES):
        raise Inconsistent(
            f"the paged listing has {_count(files)}, the short one {_count(names)}"
            + (f"; only in the short one: {_shown(only_short)}" if only_short else "")
            + (f"; only in the paged one: {_shown(only_tree)}" if only_tree else "")
        )
    for each in short:
        _check_content(files[each.path], each)


def _check_content(file: RemoteFile, short: ShortEntry) -> None:
    kind, _, digest = file.content_id.partition(":")
    is_pointer = kind == SHA256 and short.sha256 is None and (short.size or 0) <= POINTER_BYTES
    if short.size is not None and short.size != file.size and not is_pointer:
        raise Inconsistent(
            f"{_shown([file.path])} has {file.size} bytes in the paged listing, {short.size} in the short one"
        )
    other = short.sha256 or (short.blob_id if kind == GIT_SHA1 else None)
    if other is not None and ((short.sha256 is not None) != (kind == SHA256) or other.lower() != digest.lower()):
        ours = f"{SHA256 if short.sha256 else GIT_SHA1}:{other}"
        raise Inconsistent(
            f"{_shown([file.path])} is {file.content_id} in the paged listing, {ours[:80]} in the short one"
        )


def true_size(path: str, size: int, lfs_size: int | None) -> int:
    """The size of a file for which an entry has two: large-file storage knows it, ``size`` may be that of the pointer.

    Raises:
        Inconsistent: when a pointer does not explain the difference.
    """
    if lfs_size is None or size == lfs_size:
        return size
    if size <= POINTER_BYTES:
        return lfs_size
    raise Inconsistent(f"{_shown([path])} is listed with {size} bytes, and with {lfs_size} in large-file storage")


def _count(names: Collection[str]) -> str:
    return f"{len(names)} files" if len(names) != 1 else "1 file"


def _content(file: RemoteFile) -> str:
    return f"{file.size} bytes, {file.content_id[:80]}"


def _shown(paths: Iterable[str]) -> str:
    """Up to three paths, escaped and cut: they come from anything that answers at that address."""
    first, *rest = sorted(paths)[:4]
    text = ", ".join(repr(path[:100]) for path in [first, *rest[:2]])
    return f"{text}, ..." if len(rest) > 2 else text
