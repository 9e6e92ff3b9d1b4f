"""Who shares a claim: caches on one volume must not want different content at one path."""

from __future__ import annotations

from collections import defaultdict

from modelcache_operator.core.observed import Cache
from modelcache_operator.kube.key import Key


class ClaimIndex:
    """Which caches use a claim, and which content each wants at which path of it: thousands may share one."""

    def __init__(self) -> None:
        self.users: dict[Key, set[Key]] = defaultdict(set)
        self._paths: dict[tuple[Key, str], dict[Key, str]] = defaultdict(dict)

    def add(self, key: Key, cache: Cache) -> set[Key]:
        """Returns the caches for which that makes a difference."""
        if not cache.volume.claim:
            return set()
        claim = Key(key.namespace, cache.volume.claim)
        before = set(self.users[claim])
        self.users[claim].add(key)
        for path, digest in cache.paths.items():
            self._paths[claim, path][key] = digest
        return self.rivals(key, cache) | (before if len(before) == 1 else set())

    def remove(self, key: Key, cache: Cache) -> set[Key]:
        if not cache.volume.claim:
            return set()
        claim = Key(key.namespace, cache.volume.claim)
        rivals = self.rivals(key, cache)
        self.users[claim].discard(key)
        for path in cache.paths:
            self._paths[claim, path].pop(key, None)
            if not self._paths[claim, path]:
                del self._paths[claim, path]
        left = set(self.users[claim])
        if not left:
            del self.users[claim]
        return rivals | (left if len(left) == 1 else set())

    def rivals(self, key: Key, cache: Cache) -> set[Key]:
        """Caches that want other content at a path of this one's."""
        claim = Key(key.namespace, cache.volume.claim)
        return {
            other
            for path, digest in cache.paths.items()
            for other, wanted in self._paths.get((claim, path), {}).items()
            if other != key and wanted != digest
        }
