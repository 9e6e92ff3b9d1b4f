"""Who shares a claim: caches on one volume must not want different content at one place."""

from __future__ import annotations

from collections import defaultdict

from modelcache_operator.core.facts import CacheFacts
from modelcache_operator.kube.key import Key


class ClaimIndex:
    """Which caches use a claim, and who wants what at which place of it: thousands may share one."""

    def __init__(self) -> None:
        self.users: dict[Key, set[Key]] = defaultdict(set)
        self._places: dict[tuple[Key, str], dict[Key, str]] = defaultdict(dict)

    def add(self, key: Key, cache: CacheFacts) -> set[Key]:
        """Returns the caches for which that makes a difference."""
        if not cache.volume.claim:
            return set()
        claim = Key(key.namespace, cache.volume.claim)
        before = set(self.users[claim])
        self.users[claim].add(key)
        for place, digest in cache.places.items():
            self._places[claim, place][key] = digest
        return self.rivals(key, cache) | (before if len(before) == 1 else set())

    def remove(self, key: Key, cache: CacheFacts) -> set[Key]:
        if not cache.volume.claim:
            return set()
        claim = Key(key.namespace, cache.volume.claim)
        rivals = self.rivals(key, cache)
        self.users[claim].discard(key)
        for place in cache.places:
            self._places[claim, place].pop(key, None)
            if not self._places[claim, place]:
                del self._places[claim, place]
        left = set(self.users[claim])
        if not left:
            del self.users[claim]
        return rivals | (left if len(left) == 1 else set())

    def rivals(self, key: Key, cache: CacheFacts) -> set[Key]:
        """Caches that want other content at a place of this one's."""
        claim = Key(key.namespace, cache.volume.claim)
        return {
            other
            for place, digest in cache.places.items()
            for other, wanted in self._places.get((claim, place), {}).items()
            if other != key and wanted != digest
        }
