"""What the operator has seen of the cluster: facts by namespace and name, fed by watches and by full lists.

An object is replaced only by a newer version of itself, so that lists and watches may overlap in any order. The store
is a cache, never the truth: whatever must not be wrong (opening a gate) asks the API first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

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
from modelcache_operator.core.limits import Limits
from modelcache_operator.kube import tables
from modelcache_operator.kube.claim_index import ClaimIndex
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.tables import Exists, is_gone, is_newer, is_older

Json = dict[str, Any]
NO_LIMITS = Limits()


class Store:
    """All of it, for one operator."""

    def __init__(self, limits: Limits = NO_LIMITS) -> None:
        self._limits = limits
        self.caches: dict[Key, CacheFacts] = {}
        self.pods: dict[Key, dict[str, PodFacts]] = defaultdict(dict)
        """By the cache that their label names, whether there is such a cache or not."""
        self.jobs: dict[Key, dict[str, JobFacts]] = defaultdict(dict)
        self.claims: dict[Key, ClaimFacts | None] = {}
        """By namespace and claim. None: it does not exist. Absent: not looked up yet."""
        self.digests: dict[Key, tuple[str, str]] = {}
        """The owner's uid of each cache's ConfigMap, and the digest of the manifest in it."""
        self.progress: dict[str, Progress] = {}
        self.refused: dict[Key, tuple[str, str]] = {}
        """Reason and message, where an object of a cache could not be made."""
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
        return tables.take(self.pods, reading.read_pod(raw))

    def take_job(self, raw: Json) -> Iterable[Key]:
        return tables.take(self.jobs, reading.read_job_object(raw))

    def drop_pod(self, raw: Json) -> Iterable[Key]:
        self.progress.pop(raw["metadata"]["uid"], None)
        return tables.drop(self.pods, reading.read_pod(raw))

    def forget_pod(self, pod: PodFacts) -> None:
        """It was looked for and is not there."""
        self.progress.pop(pod.uid, None)
        tables.drop(self.pods, pod)

    def drop_job(self, raw: Json) -> Iterable[Key]:
        return tables.drop(self.jobs, reading.read_job_object(raw))

    def take_claim(self, claim: Key, raw: Json | None, list_version: str = "") -> Iterable[Key]:
        """Returns the caches that use it, if that changes anything; ``list_version``: of a list that it is not in.

        Versions of different claims compare too: a list that began earlier does not bring an old one back.
        """
        old, new = self.claims.get(claim), reading.read_claim(raw) if raw else None
        if claim in self.claims and (old == new or is_older(new.version if new else list_version, old)):
            return ()
        self.claims[claim] = new
        return self.claim_users(claim)

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
        owner, digest = self.digests.get(key, ("", ""))
        reason, refused = self.refused.get(key, ("Refused", ""))
        rivals = (self.caches[each] for each in self._claims.rivals(key, cache) if each in self.caches)
        return Snapshot(
            cache=cache,
            pods=pods,
            jobs=tuple(self.jobs.get(key, {}).values()),
            claim=self.claims.get(Key(key.namespace, cache.volume.claim)),
            config_digest=digest if owner == cache.uid else None,
            progress=progress,
            neighbours=tuple(Neighbour(each.name, each.created_at, each.places) for each in rivals),
            claim_shared=len(self._claims.users.get(Key(key.namespace, cache.volume.claim), ())) > 1,
            forbidden=self._limits.problem(cache.spec) if not cache.problem else "",
            refused=refused,
            refused_reason=reason,
        )

    def keep_pods(self, exists: Exists, version: int) -> Iterable[Key]:
        """After a full list as of ``version``: drop what is gone. A watch that relists never tells about those."""
        changed = list(tables.keep(self.pods, exists, version))
        alive = {pod.uid for pods in self.pods.values() for pod in pods.values()}
        self.progress = {uid: progress for uid, progress in self.progress.items() if uid in alive}
        return changed

    def keep_jobs(self, exists: Exists, version: int) -> Iterable[Key]:
        return tables.keep(self.jobs, exists, version)

    def keep_caches(self, exists: Exists, version: int) -> Iterable[Key]:
        gone = [key for key, cache in self.caches.items() if is_gone(cache, exists, version)]
        return [each for key in gone for each in self.drop_cache(key)]
