"""What a volume offers: repositories at commits, as they were pinned, and the files that receipts prove.

A listing is offered when a receipt names its commit; it is the whole one, whatever part of it the volume holds. A file
is found by its content id and size, so each commit that has the same content offers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.volume.timestamps import is_too_young

Content = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository at one commit."""

    repo: str
    commit: str
    entries: Mapping[str, RemoteFile | None]
    """By path, sorted: files, and None for a directory."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that is offered at one time."""

    snapshots: Mapping[tuple[str, str], Snapshot] = field(default_factory=dict)
    """By repository and version, which is a commit or the name that was pinned."""
    held: Mapping[Content, tuple[ReceiptFile, ...]] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    """Commits that receipts name, without a checked listing on the volume."""

    def has_repo(self, repo: str) -> bool:
        return any(repo == known for known, _ in self.snapshots)

    def copies(self, file: RemoteFile) -> tuple[ReceiptFile, ...]:
        """Where on the volume receipts say that this content lies."""
        return self.held.get((file.content_id, file.size), ())

    @property
    def commits(self) -> int:
        return len({(each.repo, each.commit) for each in self.snapshots.values()})

    @property
    def held_bytes(self) -> int:
        return sum(size for _, size in self.held)


def make_catalog(receipts: Iterable[Receipt], listings: Iterable[Listing]) -> Catalog:
    """A name that models in different directories pinned to several commits stands for that of the newest receipt."""
    listed = {(each.repo, each.commit): each for each in listings if each.checked}
    snapshots: dict[tuple[str, str], Snapshot] = {}
    held: dict[Content, dict[ReceiptFile, None]] = {}
    unlisted: dict[str, None] = {}
    for receipt in sorted(receipts, key=lambda each: each.written_ns):
        if receipt.prepared_from:
            continue  # no hub lists its files
        for file in receipt.files:
            if not is_too_young(file.mtime_ns, receipt.written_ns):
                held.setdefault((file.content_id, file.size), {})[file] = None
        for revision, commit in receipt.commits.items():
            listing = listed.get((receipt.repo, commit))
            if listing is None:
                unlisted[f"{receipt.repo} at {commit}"] = None
                continue
            snapshot = snapshots.get((receipt.repo, commit)) or _snapshot(listing)
            snapshots[receipt.repo, commit] = snapshots[receipt.repo, revision] = snapshot
    return Catalog(snapshots, {content: tuple(files) for content, files in held.items()}, tuple(unlisted))


def _snapshot(listing: Listing) -> Snapshot:
    entries: dict[str, RemoteFile | None] = {file.path: file for file in listing.files}
    for path in list(entries):
        parent = path.rpartition("/")[0]
        while parent and parent not in entries:
            entries[parent] = None
            parent = parent.rpartition("/")[0]
    return Snapshot(listing.repo, listing.commit, {path: entries[path] for path in sorted(entries)})
