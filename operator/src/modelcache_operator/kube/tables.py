"""Tables of objects by cache, into which lists and watches feed in any order: only what is newer changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from modelcache_operator.kube.key import Key

Exists = Callable[[str, str], bool]
"""Whether an object of this namespace and uid is there, or was not asked for."""


class Versioned(Protocol):
    """What was observed of one object of the API."""

    @property
    def namespace(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def version(self) -> str: ...


class Labelled(Versioned, Protocol):
    """The same, of an object that belongs to a cache."""

    @property
    def name(self) -> str: ...
    @property
    def cache(self) -> str: ...


Owned = TypeVar("Owned", bound=Labelled)
Table = dict[Key, dict[str, Owned]]
"""A defaultdict: objects by the cache that their label names, and by their own name."""


def is_newer(new: Versioned, old: Versioned | None) -> bool:
    """Versions of one object are compared as numbers, as the API allows by now; what is no number counts as newer."""
    if old is None or new.uid != old.uid:
        return True
    if new.version.isdigit() and old.version.isdigit():
        return int(new.version) > int(old.version)
    return new.version != old.version


def is_older(version: str, known: Versioned | None) -> bool:
    """Whether a version of the same kind of object, perhaps of another object, is from before what is known."""
    return known is not None and version.isdigit() and known.version.isdigit() and int(version) < int(known.version)


def upsert(table: Table[Owned], new: Owned) -> Iterable[Key]:
    """Returns the cache to look at, if that changes anything."""
    key = Key(new.namespace, new.cache)
    if not new.cache or not is_newer(new, table[key].get(new.name)):
        return ()
    table[key][new.name] = new
    return (key,)


def delete(table: Table[Owned], last: Owned) -> Iterable[Key]:
    key = Key(last.namespace, last.cache)
    known = table[key].get(last.name)
    if known is not None and known.uid == last.uid:
        del table[key][last.name]
    if not table[key]:
        del table[key]
    return (key,)


def prune(table: Table[Owned], exists: Exists, version: int) -> Iterable[Key]:
    """After a full list as of ``version``: drop what is gone. Returns the caches concerned."""
    changed = []
    for key in list(table):
        gone = [name for name, known in table[key].items() if is_gone(known, exists, version)]
        for name in gone:
            del table[key][name]
        if gone:
            changed.append(key)
        if not table[key]:
            del table[key]
    return changed


def is_gone(known: Versioned, exists: Exists, version: int) -> bool:
    """Not in a list that is newer than what we know of it."""
    return known.version.isdigit() and int(known.version) <= version and not exists(known.namespace, known.uid)
