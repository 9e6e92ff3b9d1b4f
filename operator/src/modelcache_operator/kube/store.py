"""What the operator has seen of the cluster: facts by namespace and name, fed by watches and by full lists.

An object is replaced only by a newer version of itself, so that lists and watches may overlap in any order. The store
is a cache, never the truth: whatever must not be wrong (opening a gate) asks the API first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from modelcache_operator.core import reading
from modelcache_operator.core.facts import (
    CacheFacts,
    ClaimFacts,
    JobFacts,
    Neighbour,
    PodFacts,
    Progress,
    Snapshot,
)

Json = dict[str, Any]


class Key(NamedTuple):
    """A cache; what the queue holds."""

    namespace: str
    name: str


Exists = Callable[[str, str], bool]
"""Whether an object of this namespace and uid is there, or was not asked for."""


class _Versioned(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def version(self) -> str: ...


Fact = TypeVar("Fact", bound=_Versioned)


def is_newer(new: _Versioned, old: _Versioned | None) -> bool:
    """Versions of one object are compared as numbers, as the API allows by now; what is no number counts as newer."""
    if old is None or new.uid != old.uid:
        return True
    if new.version.isdigit() and old.version.isdigit():
        return int(new.version) > int(old.version)
    return new.version != old.version


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


class Store:
    """All of it, for one operator."""

    def __init__(self) -> None:
        self.caches: dict[Key, CacheFacts] = {}
        self.pods: dict[Key, dict[str, PodFacts]] = defaultdict(dict)
        """By the cache that their label names, whether there is such a cache or not."""
        self.jobs: dict[Key, dict[str, JobFacts]] = defaultdict(dict)
        self.claims: dict[Key, ClaimFacts | None] = {}
        """By namespace and claim. None: it does not exist. Absent: not looked up yet."""
        self.digests: dict[Key, str] = {}
        """Of the manifest in each cache's ConfigMap."""
        self.progress: dict[str, Progress] = {}
        self.refused: dict[Key, str] = {}
        self._claims = ClaimIndex()

    def take_cache(self, raw: Json) -> Iterable[Key]:
        """Returns the caches to look at: this one, and those that share a claim with it."""
        key = Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        old = self.caches.get(key)
        if old and raw["metadata"]["uid"] == old.uid and raw["metadata"].get("resourceVersion") == old.version:
            return ()
        new = reading.read_cache(raw, old)
        if not is_newer(new, old):
            return ()
        if old and old.uid != new.uid:
            self._forget(key)
        touched = {key}
        if old is None or (old.uid, old.generation) != (new.uid, new.generation):
            touched |= self._claims.remove(key, old) if old else set()
            touched |= self._claims.add(key, new)
            if old:
                self._forget_claim(key, old)
        self.caches[key] = new
        return touched

    def drop_cache(self, key: Key) -> Iterable[Key]:
        old = self.caches.pop(key, None)
        if old is None:
            return ()
        self._forget(key)
        touched = {key} | self._claims.remove(key, old)
        self._forget_claim(key, old)
        return touched

    def _forget_claim(self, key: Key, cache: CacheFacts) -> None:
        """What nobody uses is not looked at any more, so it would grow stale."""
        claim = Key(key.namespace, cache.volume.claim)
        if claim not in self._claims.users:
            self.claims.pop(claim, None)

    def _forget(self, key: Key) -> None:
        self.digests.pop(key, None)
        self.refused.pop(key, None)

    def take_pod(self, raw: Json) -> Iterable[Key]:
        return _take(self.pods, reading.read_pod(raw))

    def take_job(self, raw: Json) -> Iterable[Key]:
        return _take(self.jobs, reading.read_job_object(raw))

    def drop_pod(self, raw: Json) -> Iterable[Key]:
        self.progress.pop(raw["metadata"]["uid"], None)
        return _drop(self.pods, reading.read_pod(raw))

    def forget_pod(self, pod: PodFacts) -> None:
        """It was looked for and is not there."""
        self.progress.pop(pod.uid, None)
        _drop(self.pods, pod)

    def drop_job(self, raw: Json) -> Iterable[Key]:
        return _drop(self.jobs, reading.read_job_object(raw))

    def take_claim(self, namespace: str, name: str, raw: Json | None) -> None:
        self.claims[Key(namespace, name)] = reading.read_claim(raw) if raw else None

    def take_progress(self, progress: Progress) -> None:
        self.progress[progress.pod_uid] = progress

    def claim_users(self, claim: Key) -> set[Key]:
        return set(self._claims.users.get(claim, ()))

    def used_claims(self) -> set[Key]:
        return {claim for claim, users in self._claims.users.items() if users}

    def snapshot(self, key: Key) -> Snapshot | None:
        """None when there is no such cache."""
        cache = self.caches.get(key)
        if cache is None:
            return None
        pods = tuple(self.pods.get(key, {}).values())
        progress = {pod.uid: self.progress[pod.uid] for pod in pods if pod.uid in self.progress}
        rivals = (self.caches[each] for each in self._claims.rivals(key, cache) if each in self.caches)
        return Snapshot(
            cache=cache,
            pods=pods,
            jobs=tuple(self.jobs.get(key, {}).values()),
            claim=self.claims.get(Key(key.namespace, cache.volume.claim)),
            config_digest=self.digests.get(key),
            progress=progress,
            neighbours=tuple(Neighbour(each.name, each.created_at, each.places) for each in rivals),
            claim_shared=len(self._claims.users.get(Key(key.namespace, cache.volume.claim), ())) > 1,
            refused=self.refused.get(key, ""),
        )

    def keep_pods(self, exists: Exists, version: int) -> Iterable[Key]:
        """After a full list as of ``version``: drop what is gone. A watch that relists never tells about those."""
        changed = list(_keep(self.pods, exists, version))
        alive = {pod.uid for pods in self.pods.values() for pod in pods.values()}
        self.progress = {uid: progress for uid, progress in self.progress.items() if uid in alive}
        return changed

    def keep_jobs(self, exists: Exists, version: int) -> Iterable[Key]:
        return _keep(self.jobs, exists, version)

    def keep_caches(self, exists: Exists, version: int) -> Iterable[Key]:
        gone = [key for key, cache in self.caches.items() if _is_gone(cache, exists, version)]
        return [each for key in gone for each in self.drop_cache(key)]


class _Labelled(_Versioned, Protocol):
    @property
    def name(self) -> str: ...
    @property
    def cache(self) -> str: ...


Owned = TypeVar("Owned", bound=_Labelled)


def _take(table: dict[Key, dict[str, Owned]], new: Owned) -> Iterable[Key]:
    key = Key(new.namespace, new.cache)
    if not new.cache or not is_newer(new, table[key].get(new.name)):
        return ()
    table[key][new.name] = new
    return (key,)


def _drop(table: dict[Key, dict[str, Owned]], last: Owned) -> Iterable[Key]:
    key = Key(last.namespace, last.cache)
    known = table[key].get(last.name)
    if known is not None and known.uid == last.uid:
        del table[key][last.name]
    if not table[key]:
        del table[key]
    return (key,)


def _keep(table: dict[Key, dict[str, Owned]], exists: Exists, version: int) -> Iterable[Key]:
    changed = []
    for key in list(table):
        gone = [name for name, fact in table[key].items() if _is_gone(fact, exists, version)]
        for name in gone:
            del table[key][name]
        if gone:
            changed.append(key)
        if not table[key]:
            del table[key]
    return changed


def _is_gone(fact: _Versioned, exists: Exists, version: int) -> bool:
    """Not in a list that is newer than what we know of it."""
    return fact.version.isdigit() and int(fact.version) <= version and not exists(fact.namespace, fact.uid)
