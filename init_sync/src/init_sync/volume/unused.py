"""What syncs of a cache put on the volume and nothing needs any more: what ``prune`` removes.

A name goes only if a sync of this cache gave it and it is still what that sync left there (``volume.owned``), and
neither a receipt nor the present manifest needs it. Receipts of this cache for what its manifest no longer names are
stale: they need nothing, unless another cache has noted that it needs them too (``volume.needs``). So is that of a
prepared copy once no other receipt has the digests that it was made of, nor may a coming sync bring one. Nothing is
changed here.

Paths are compared where they really lie, and without letter case: two of them may be one file.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from posixpath import dirname

from init_sync.core.errors import NeedsChange
from init_sync.core.receipt import Receipt
from init_sync.core.spec import Manifest, Model
from init_sync.core.volumepath import same_or_inside
from init_sync.volume.layout import cache_key
from init_sync.volume.needs import read_needs
from init_sync.volume.offline_check import pinned_requirement
from init_sync.volume.owned import OwnedFile, OwnedFiles
from init_sync.volume.prepared import is_outdated
from init_sync.volume.receipts import receipts_by_path
from init_sync.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class Unused:
    """What would go, and what the cache goes on owning."""

    files: tuple[OwnedFile, ...]
    """Links first, so that none is left whose target is gone."""
    bytes: int
    """That it frees."""
    changed: tuple[str, ...]
    """Paths that nothing needs, where something else lies by now."""
    needed: tuple[OwnedFile, ...]
    directories: tuple[str, ...]
    """Those that may be empty once the files are gone, deepest first."""
    stale_receipts: tuple[str, ...]
    """While a model has no receipt those that name one of the files: others may save the sync from reading theirs."""
    stale_needs: tuple[str, ...]
    """Requirements that this cache has noted as needed, and needs no longer."""


def find_unused(volume: Volume, manifest: Manifest) -> Unused:
    """Raises NeedsChange or OSError when it cannot be told what is needed."""
    owned = OwnedFiles(volume, manifest.name).read()
    receipts = receipts_by_path(volume)
    needs = read_needs(volume)
    own = {model.requirement_digest() for model in manifest.models}
    key = cache_key(manifest.name)
    complete = {receipt.requirement for receipt in receipts.values()}
    pending = {model.path for model in manifest.models if model.requirement_digest() not in complete}
    stale = _stale(receipts, needs, manifest, pending)
    places = _Places(volume)
    places.need(_named_by(receipt for path, receipt in receipts.items() if path not in stale))
    left = [file for file in owned.values() if not places.needs(file.path)]
    if left:
        _need_present(volume, manifest, receipts.values(), places)
        left = [file for file in left if not places.needs(file.path)]
    gone = {file.path for file in left}
    found = _Found(volume, left)
    prefixes = {requirement[:16] for requirement in own}
    ready = not pending
    return Unused(
        files=tuple(sorted(found.there, key=lambda file: (not file.text, file.path))),
        bytes=found.bytes,
        changed=tuple(sorted(found.changed)),
        needed=tuple(file for file in owned.values() if file.path not in gone),
        directories=_directories(file.path for file in left if file.path not in found.changed),
        stale_receipts=tuple(
            sorted(path for path in stale if ready or _names_any(volume, receipts[path], found.there))
        ),
        stale_needs=tuple(sorted(each for each, caches in needs.items() if key in caches and each not in prefixes)),
    )


def _stale(
    receipts: Mapping[str, Receipt], needs: Mapping[str, set[str]], manifest: Manifest, pending: Collection[str]
) -> set[str]:
    """Paths of receipts of this cache that need nothing. Those of prepared copies follow from the others."""
    own = {model.requirement_digest() for model in manifest.models}
    key = cache_key(manifest.name)
    of_cache = {path: receipt for path, receipt in receipts.items() if receipt.cache == manifest.name}
    stale = {
        path
        for path, receipt in of_cache.items()
        if receipt.requirement not in own
        and not receipt.prepared_from
        and not needs.get(receipt.requirement[:16], set()) - {key}
    }
    current = [receipt for path, receipt in receipts.items() if path not in stale]
    return stale | {path for path, each in of_cache.items() if is_outdated(each.prepared_from, current, pending)}


def unused_bytes(volume: Volume, manifest: Manifest) -> int | None:
    """None when it cannot be told."""
    with suppress(OSError, NeedsChange):
        return find_unused(volume, manifest).bytes
    return None


class _Places:
    """Paths by where they really lie."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._directories: dict[str, str] = {}
        self._needed: set[str] = set()
        self._below: list[str] = []

    def need(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._needed.add(self._place(path))
            with suppress(OSError):
                self._needed.add(_folded(self._volume.final_path(path)))

    def need_below(self, directory: str) -> None:
        self._below.append(self._place(f"{directory}/x").rpartition("/")[0])

    def needs(self, path: str) -> bool:
        place = self._place(path)
        return place in self._needed or any(same_or_inside(place, directory) for directory in self._below)

    def _place(self, path: str) -> str:
        directory, _, name = path.rpartition("/")
        if directory not in self._directories:
            real = directory
            with suppress(OSError):
                real = self._volume.real_path(directory) if directory else ""
            self._directories[directory] = real
        return _folded(f"{self._directories[directory]}/{name}".lstrip("/"))


class _Found:
    """What is there of names that nothing needs."""

    def __init__(self, volume: Volume, files: Iterable[OwnedFile]) -> None:
        self.there: list[OwnedFile] = []
        self.changed: set[str] = set()
        self.bytes = 0
        names: dict[tuple[int, int], int] = {}
        for file in files:
            try:
                state = file.found(volume)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                state = None
            if state is None:
                self.changed.add(file.path)
                continue
            self.there.append(file)
            inode = state.st_dev, state.st_ino
            names[inode] = names.get(inode, 0) + 1
            self.bytes += state.st_size if not file.text and names[inode] == state.st_nlink else 0


def _need_present(volume: Volume, manifest: Manifest, receipts: Iterable[Receipt], places: _Places) -> None:
    """What the manifest needs beyond receipts: of models on their way, and of commits on theirs."""
    complete = {receipt.requirement for receipt in receipts}
    for model in manifest.models:
        requirement = pinned_requirement(volume, model)
        if requirement:
            places.need(file.path for file in requirement.files)
        if model.requirement_digest() in complete:
            continue
        places.need(_places_of(model))
        if requirement is None:
            places.need_below(model.path)  # nobody knows which files it needs


def _names_any(volume: Volume, receipt: Receipt, files: Iterable[OwnedFile]) -> bool:
    places = _Places(volume)
    places.need(_named_by([receipt]))
    return any(places.needs(file.path) for file in files)


def _places_of(model: Model) -> Iterator[str]:
    yield from (link.at for link in model.links)
    yield from (f"{model.path}/{alternative.file}" for alternative in model.one_of)


def _named_by(receipts: Iterable[Receipt]) -> Iterator[str]:
    for receipt in receipts:
        yield from (file.path for file in receipt.files)
        yield from (link.at for link in receipt.links)


def _directories(paths: Iterable[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for path in paths:
        while (path := dirname(path)) and path not in found:
            found.add(path)
    return tuple(sorted(found, key=lambda each: each.count("/"), reverse=True))


def _folded(path: str) -> str:
    """Equal for two paths that some file system takes for one."""
    text = unicodedata.normalize("NFKC", path).casefold()
    return "/".join(name.rstrip(". ") or name for name in text.split("/"))
