"""A mirror of the objects in the cluster, by namespace and name, fed by watches and by full lists.

An object is replaced only by a newer version of itself, so that lists and watches may overlap in any order. The mirror
is never the truth: whatever must not be wrong (removing a gate) asks the API first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from modelcache_operator.core import parse, parse_pods
from modelcache_operator.core.job_defaults import NO_DEFAULTS
from modelcache_operator.core.lead_time import with_samples
from modelcache_operator.core.limits import Limits
from modelcache_operator.core.nodes import NO_NODES, Node, has_copy
from modelcache_operator.core.observed import (
    NO_PEERS,
    NO_REFUSALS,
    Cache,
    Claim,
    Job,
    Neighbour,
    Peers,
    Progress,
    Refusals,
    Snapshot,
)
from modelcache_operator.core.observed_pods import PeerPod, Pod, Run
from modelcache_operator.kube import tables
from modelcache_operator.kube.claim_index import ClaimIndex
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.node_table import NodeTable
from modelcache_operator.kube.tables import Exists, is_gone, is_newer, is_older

Json = dict[str, Any]
NO_LIMITS = Limits()


class Mirror:
    """For one operator."""

    def __init__(
        self, limits: Limits = NO_LIMITS, job_defaults: Mapping[str, Any] = NO_DEFAULTS, image: str = ""
    ) -> None:
        self._limits = limits
        self._job_defaults = job_defaults
        self._image = image
        self.caches: dict[Key, Cache] = {}
        self.pods: dict[Key, dict[str, Pod]] = defaultdict(dict)
        """By the cache that their label names, whether there is such a cache or not."""
        self.jobs: dict[Key, dict[str, Job]] = defaultdict(dict)
        self.claims: dict[Key, Claim | None] = {}
        """By namespace and claim. None: it does not exist. Absent: not looked up yet."""
        self.digests: dict[Key, tuple[str, str]] = {}
        """The owner's uid of each cache's ConfigMap, and the digest of the manifest in it."""
        self.progress: dict[str, Progress] = {}
        self.refusals: dict[Key, Refusals] = {}
        self.on_run: Callable[[Key, Run, str], None] = lambda _key, _run, _task: None
        """Called once for each run of a sync container whose end is seen, with the task of its pod if it has one."""
        self.peer_pods: dict[Key, dict[str, PeerPod]] = defaultdict(dict)
        self.peers_created: dict[Key, str] = {}
        """Uid of the peer server's pod that this process created last."""
        self.peer_endpoints: dict[Key, str] = {}
        """What each peer server's Service leads to, as far as that was written since the last full list."""
        self._ended: dict[Key, Job] = {}
        """Finished Jobs that were deleted before their end was taken into account."""
        self._claims = ClaimIndex()
        self.nodes = NodeTable()

    def upsert_cache(self, raw: Json) -> Iterable[Key]:
        """Returns the caches to look at: this one, and those that share a claim with it."""
        key = Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        old = self.caches.get(key)
        if old and raw["metadata"]["uid"] == old.uid and raw["metadata"].get("resourceVersion") == old.version:
            return ()
        new = parse.parse_cache(raw, old, self._job_defaults)
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
                self.refuse(key, size="", task="", peers="", peers_reason="")
        self.caches[key] = new
        return touched

    def delete_cache(self, key: Key) -> Iterable[Key]:
        old = self.caches.pop(key, None)
        if old is None:
            return ()
        self._forget(key)
        touched = {key} | self._claims.remove(key, old)
        self._forget_claim(key, old)
        return touched

    def _forget_claim(self, key: Key, cache: Cache) -> None:
        """What nobody uses is not looked at any more, so it would grow stale."""
        claim = Key(key.namespace, cache.volume.claim)
        if claim not in self._claims.users:
            self.claims.pop(claim, None)

    def _forget(self, key: Key) -> None:
        self.digests.pop(key, None)
        self.refusals.pop(key, None)
        self.peers_created.pop(key, None)
        self.peer_endpoints.pop(key, None)
        self._ended.pop(key, None)

    def upsert_pod(self, raw: Json) -> Iterable[Key]:
        if parse_pods.is_peer_pod(raw):
            return tables.upsert(self.peer_pods, parse_pods.parse_peer_pod(raw))
        new = parse_pods.parse_pod(raw)
        key = Key(new.namespace, new.cache)
        old = self.pods[key].get(new.name) if key in self.pods else None
        changed = tables.upsert(self.pods, new)
        if changed and key in self.caches:
            known = {run.key for run in old.runs} if old else set()
            for run in new.runs:
                if run.key not in known:
                    self.on_run(key, run, new.task)
        return changed

    def upsert_job(self, raw: Json) -> Iterable[Key]:
        return tables.upsert(self.jobs, parse.parse_job(raw))

    def delete_pod(self, raw: Json) -> Iterable[Key]:
        if parse_pods.is_peer_pod(raw):
            return tables.delete(self.peer_pods, parse_pods.parse_peer_pod(raw))
        self.progress.pop(raw["metadata"]["uid"], None)
        return tables.delete(self.pods, parse_pods.parse_pod(raw))

    def remove_pod(self, pod: Pod) -> None:
        """It was looked for and is not there."""
        self.progress.pop(pod.uid, None)
        tables.delete(self.pods, pod)

    def delete_job(self, raw: Json) -> Iterable[Key]:
        """A sync Job may have finished since it was seen last, and been deleted at once. A task is done again then."""
        job = parse.parse_job(raw)
        key = Key(job.namespace, job.cache)
        counts = job.outcome and job.attempt and not job.task
        if counts and key in self.caches:  # the Jobs of a deleted cache are collected after it
            self._ended[key] = job
        return tables.delete(self.jobs, job)

    def upsert_node(self, raw: Json) -> Iterable[Key]:
        return self._look_at(self.nodes.upsert(raw))

    def delete_node(self, raw: Json) -> Iterable[Key]:
        return self._look_at(self.nodes.delete(raw))

    def _look_at(self, changed: tuple[Node, ...]) -> Iterable[Key]:
        """Caches with a copy on one of these."""
        groups = ((key, cache.volume.per_node) for key, cache in self.caches.items()) if changed else ()
        return [key for key, group in groups if group and any(has_copy(node, group) for node in changed)]

    def upsert_claim(self, claim: Key, raw: Json | None, list_version: str = "") -> Iterable[Key]:
        """Returns the caches that use it, if that changes anything; ``list_version``: of a list that it is not in.

        Versions of different claims compare too: a list that began earlier does not bring an old one back.
        """
        old, new = self.claims.get(claim), parse.parse_claim(raw) if raw else None
        if claim in self.claims and (old == new or is_older(new.version if new else list_version, old)):
            return ()
        self.claims[claim] = new
        return self.claim_users(claim)

    def set_progress(self, progress: Progress) -> None:
        self.progress[progress.pod_uid] = with_samples(progress, self.progress.get(progress.pod_uid))

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
        peer = next(iter(self.peer_pods.get(key, {}).values()), None)
        owner, digest = self.digests.get(key, ("", ""))
        rivals = (self.caches[each] for each in self._claims.rivals(key, cache) if each in self.caches)
        return Snapshot(
            cache=cache,
            pods=pods,
            jobs=(*self.jobs.get(key, {}).values(), *self._ended_jobs(key, cache)),
            claim=self.claims.get(Key(key.namespace, cache.volume.claim)),
            config_digest=digest if owner == cache.uid else None,
            progress=progress,
            neighbours=tuple(Neighbour(each.name, each.created_at, each.paths) for each in rivals),
            claim_shared=len(self._claims.users.get(Key(key.namespace, cache.volume.claim), ())) > 1,
            nodes=self.nodes.nodes if cache.volume.per_node else NO_NODES,
            forbidden=self._limits.problem(cache.spec) if not cache.problem else "",
            refusals=self.refusals.get(key, NO_REFUSALS),
            peers=Peers(peer, self.peers_created.get(key, ""), self._image) if cache.peers or peer else NO_PEERS,
        )

    def _ended_jobs(self, key: Key, cache: Cache) -> Iterable[Job]:
        job = self._ended.get(key)
        if job and (job.attempt <= cache.status.sync.settled_attempt or job.owner_uid != cache.uid):
            del self._ended[key]
            return ()
        return (job,) if job else ()

    def refuse(self, key: Key, **refusals: Any) -> bool:
        """Note what was refused, or with empty text that it is not any more; returns whether the text is news."""
        before = self.refusals.get(key, NO_REFUSALS)
        after = replace(before, **refusals)
        if after == NO_REFUSALS:
            self.refusals.pop(key, None)
        else:
            self.refusals[key] = after
        return replace(before, until=0.0) != replace(after, until=0.0)

    def prune_pods(self, exists: Exists, version: int) -> Iterable[Key]:
        """After a full list as of ``version``: drop what is gone. A watch that relists never tells about those."""
        changed = [*tables.prune(self.pods, exists, version), *tables.prune(self.peer_pods, exists, version)]
        alive = {pod.uid for pods in self.pods.values() for pod in pods.values()}
        self.progress = {uid: progress for uid, progress in self.progress.items() if uid in alive}
        return changed

    def prune_jobs(self, exists: Exists, version: int) -> Iterable[Key]:
        return tables.prune(self.jobs, exists, version)

    def prune_caches(self, exists: Exists, version: int) -> Iterable[Key]:
        self.peer_endpoints.clear()  # to be compared again
        for key in list(self.refusals):
            self.refuse(key, owner="", size="", task="", peers="", peers_reason="")  # to be tried again
        gone = [key for key, cache in self.caches.items() if is_gone(cache, exists, version)]
        return [each for key in gone for each in self.delete_cache(key)]
