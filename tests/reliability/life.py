"""Random life in one namespace: caches and pods come, change and go, Jobs run, fail and succeed, damage is found."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from init_sync.core.reasons import Reason
from reliability.ledger import NOTICED_S, CacheLife, Ledger, PodLife
from support.cluster import Space
from support.kubeapi.errors import ApiError
from support.kubelet import Pod
from support.reports import GIB, complete, incomplete
from support.tasks import plan_report

Json = dict[str, Any]

CACHES, PODS = 8, 24
CLAIM, MADE = "models", "made"
"""Created by hand, and by the operator; half of the caches use the one, half the other."""
SCHEDULES: Json = {"scrub": {"every": "1m"}, "updates": {"check": "1m"}}
REMEMBERED = 500
FIRST_RETRY_S = 10.0
REPAIR_S = 60.0
"""How long the operator waits with the next Job after a failed one, and after the last one with a repair."""
ANOTHER_MANIFEST = "sha256:" + "0" * 64


class Life:
    """Acts at random; ``settle`` stops that, and makes everything as it should be."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._client = space.client
        self._random = random.Random(seed)
        self._numbers = iter(range(1, 1 << 30))
        self._running: dict[str, Pod] = {}
        """Pods of unfinished Jobs, by the Job's uid: names come again with the next cache of the same name."""
        self._serving: dict[str, Pod] = {}
        self._failed: dict[str, int] = {}
        """Failures of the present generation, by cache."""
        self._complaining: dict[str, float] = {}
        """Pods that reported damage, and until when they stay so: the operator must get to see it."""
        self.patience: dict[str, float] = {}
        """Until when nothing can be asked of a cache, by name: its next Job is not due before."""
        self.ledger = Ledger()
        self.acts = 0
        self.claims_deleted = 0
        self.history: deque[str] = deque(maxlen=REMEMBERED)
        """What was done to Jobs, for the report of a finding."""
        self._mounted: dict[str, str] = {}
        """Pods of Jobs, and the uid of the claim that was there when they started."""
        self._create_claim()

    @property
    def namespace(self) -> str:
        return self._space.namespace

    def act(self) -> None:
        """One thing happens; that what it is about has just gone is part of life."""
        weighted: dict[Callable[[], None], int] = {
            self._create_cache: 4,
            self._delete_cache: 1,
            self._change_cache: 2,
            self._change_job: 1,
            self._claim_goes: 1,
            self._claim_comes: 4,
            self._resync: 1,
            self._create_pod: 8,
            self._delete_pod: 4,
            self._job: 14,
            self._pod_starts: 4,
        }
        act = self._random.choices(list(weighted), list(weighted.values()))[0]
        self.acts += 1
        try:
            act()
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _names(self) -> list[str]:
        return [f"cache-{number}" for number in range(CACHES)]

    def _present(self) -> list[CacheLife]:
        return [life for name in self._names() if (life := self.ledger.cache(name))]

    def _create_cache(self) -> None:
        absent = [name for name in self._names() if self.ledger.cache(name) is None]
        if absent:
            began = time.time()
            name = self._random.choice(absent)
            create = {"create": {"size": "auto"}} if _claim_of(name) == MADE else {}
            volume = {"claimName": _claim_of(name), "prune": True, **create}
            self.ledger.cache_created(self._space.cache(name, volume=volume, **SCHEDULES), began)

    def _claim(self, name: str) -> Json | None:
        found: Json | None = self._client.find("persistentvolumeclaims", name, self.namespace)
        return found

    def _create_claim(self) -> None:
        began = time.time()
        self.ledger.claim_created(CLAIM, self._space.kubelet.claim(CLAIM)["metadata"]["uid"], began)

    def _claim_goes(self) -> None:
        """With all that is on it, and seldom: each time the caches on it are filled again."""
        name = self._random.choice((CLAIM, MADE))
        claim = self._claim(name) if self._random.random() < 0.3 else None
        if claim is None:
            return
        self._client.delete("persistentvolumeclaims", name, self.namespace)
        with suppress(ApiError):  # without a controller that does so once no pod mounts it
            self._client.patch("persistentvolumeclaims", name, {"metadata": {"finalizers": None}}, self.namespace)
        self.ledger.claim_deleted(name, claim["metadata"]["uid"])
        self.claims_deleted += 1

    def _claim_comes(self) -> None:
        """By hand, or, if the operator has created it, from a provisioner."""
        if self._claim(CLAIM) is None:
            self._create_claim()
        made = self._claim(MADE)
        if made and (made.get("status") or {}).get("phase") != "Bound":
            self._space.kubelet.set_claim(MADE, "Bound")

    def _delete_cache(self) -> None:
        present = self._present()
        if len(present) > CACHES // 2:
            life = self._random.choice(present)
            self._client.delete("modelcaches", life.name, self.namespace)
            self.ledger.cache_deleted(life.uid)
            self._failed.pop(life.name, None)
            self.patience.pop(life.name, None)
            self.collect(life)

    def collect(self, life: CacheLife) -> None:
        """What Kubernetes' garbage collector does, where there is none."""
        for job in self._client.list("jobs", self.namespace, f"modelcache.dev/cache={life.name}"):
            if job["metadata"]["ownerReferences"][0]["uid"] == life.uid:
                self._delete_job(job)
        with suppress(ApiError):
            config = self._client.get("configmaps", f"{life.name}-modelcache", self.namespace)
            if config["metadata"]["ownerReferences"][0]["uid"] == life.uid:
                self._client.delete("configmaps", config["metadata"]["name"], self.namespace)

    def _delete_job(self, job: Json) -> None:
        if pod := self._running.pop(_uid_of(job), None):
            with suppress(ApiError):
                pod.delete()
        with suppress(ApiError):
            self._client.delete("jobs", job["metadata"]["name"], self.namespace)

    def _change_cache(self) -> None:
        present = self._present()
        if present:
            life = self._random.choice(present)
            models = [{"name": "base", "repo": f"owner/v{next(self._numbers)}", "path": f"{life.name}-base"}]
            began = time.time()
            raw = self._client.patch("modelcaches", life.name, {"spec": {"models": models}}, self.namespace)
            self.ledger.cache_changed(raw, began)
            self._failed.pop(life.name, None)
            self.patience.pop(life.name, None)

    def _change_job(self) -> None:
        """How it is synced, not what: no proof is taken back."""
        present = self._present()
        if present:
            life, ttl_s = self._random.choice(present), 3600 + next(self._numbers)
            change = {"spec": {"sync": {"job": {"ttlSecondsAfterFinished": ttl_s}}}}
            began = time.time()
            raw = self._client.patch("modelcaches", life.name, change, self.namespace)
            self.ledger.cache_changed(raw, began)

    def _resync(self) -> None:
        present = self._present()
        if present:
            annotation = {"metadata": {"annotations": {"modelcache.dev/resync": str(next(self._numbers))}}}
            self._client.patch("modelcaches", self._random.choice(present).name, annotation, self.namespace)

    def _create_pod(self) -> None:
        if len(self.ledger.pods) < PODS:
            name, cache = f"serve-{next(self._numbers)}", self._random.choice(self._names())
            self.ledger.pods[name] = PodLife(name, cache, time.time())
            self._serving[name] = self._space.kubelet.workload(cache, _claim_of(cache), name)

    def _delete_pod(self) -> None:
        quiet = [name for name in self.ledger.pods if self._complaining.get(name, 0.0) < time.time()]
        if quiet:
            name = self._random.choice(quiet)
            self._serving.pop(name).delete()
            del self.ledger.pods[name]

    def _pod_starts(self) -> None:
        """Its init container looks at the volume, and now and then finds damage."""
        pods = self.ledger.pods.values()
        opened = [pod for pod in pods if pod.opened_at is not None and pod.name not in self._complaining]
        if not opened:
            return
        pod = self._random.choice(opened)
        life = self.ledger.cache(pod.cache)
        proof = self.ledger.last_proof(life) if life else None
        claims = self.ledger.claims.get(_claim_of(pod.cache))
        volume = _volume_on(claims[-1].uid) if claims else None
        if proof is None or time.time() - proof < 3 or self._random.random() < 0.8:
            self._serving[pod.name].finish(0, complete(pod.cache, fetched=0, volumeId=volume))
            return
        damage = incomplete(Reason.CHECKSUM_MISMATCH, "flipped byte", pod.cache, volumeId=volume)
        self._serving[pod.name].finish(1, damage)
        self.ledger.damaged(pod.cache)
        self._complaining[pod.name] = time.time() + NOTICED_S
        self.patience[pod.cache] = time.time() + REPAIR_S

    def _unfinished(self) -> list[Json]:
        return [job for job in self._client.list("jobs", self.namespace) if not job.get("status", {}).get("conditions")]

    def _job(self) -> None:
        jobs = self._unfinished()
        if not jobs:
            return
        job = self._random.choice(jobs)
        if _task_of(job):
            self._task(job)
            return
        pod = self._running.get(_uid_of(job)) or self._start_pod(job)
        if pod is None:
            return
        chance = self._random.random()
        if chance < 0.7:
            self._succeed(job, pod)
        elif chance < 0.85:
            pod.finish(1, incomplete(Reason.HUB_UNREACHABLE, "down", _cache_of(job)))
            self._start_pod(job)  # a pod of a Job is not started again, it gets a successor
        elif self._failed.get(_cache_of(job), 0) < 1:
            self._fail(job, pod)

    def _task(self, job: Json) -> None:
        """Nothing that it does is a proof. Now and then a scrub finds damage, and the hub is away."""
        cache, task, chance = _cache_of(job), _task_of(job), self._random.random()
        pod = self._running.get(_uid_of(job))
        if pod is None:
            pod = self._running[_uid_of(job)] = self._space.kubelet.pod_of(job)
            pod.running()
        elif chance < 0.6:
            self._do_task(job, pod)
        elif chance < 0.7 and task == "scrub" and self.ledger.cache(cache):
            pod.finish(1, incomplete(Reason.CHECKSUM_MISMATCH, "flipped byte", cache))
            self._end(job, "Failed")
            self.ledger.damaged(cache)
            self.patience[cache] = time.time() + REPAIR_S
        elif chance < 0.8 and self._failed.get(cache, 0) < 1:
            self._failed[cache] = self._failed.get(cache, 0) + 1
            self.patience[cache] = time.time() + 2 * FIRST_RETRY_S
            pod.finish(1, incomplete(Reason.HUB_UNREACHABLE, "away", cache))
            self._end(job, "Failed")

    def _do_task(self, job: Json, pod: Pod) -> None:
        self._tell(job, f"is done in {pod.name}")
        reports = {
            "plan": plan_report(GIB // 2),
            "prune": {"bytesFreed": 1},
            "scrub": complete(_cache_of(job), fetched=0),
        }
        pod.finish(0, reports[_task_of(job)])
        self._end(job, "Complete")

    def _start_pod(self, job: Json) -> Pod | None:
        """None while there is no claim that it could mount."""
        claim = self._claim(_claim_of(_cache_of(job)))
        if claim is None:
            return None
        pod = self._running[_uid_of(job)] = self._space.kubelet.pod_of(job)
        self._mounted[pod.name] = claim["metadata"]["uid"]
        pod.running()
        return pod

    def _succeed(self, job: Json, pod: Pod) -> None:
        # The very report may be taken for the proof before the Job is called Complete.
        owner = job["metadata"]["ownerReferences"][0]["uid"]
        self.ledger.proven(owner, _generation_of(job), self._mounted[pod.name])
        self._tell(job, f"succeeds in {pod.name}")
        pod.finish(0, complete(_cache_of(job), volumeId=_volume_on(self._mounted[pod.name])))
        self._end(job, "Complete")

    def _fail(self, job: Json, pod: Pod) -> None:
        """For good, or by a report about another manifest than the present one."""
        cache = _cache_of(job)
        self._failed[cache] = self._failed.get(cache, 0) + 1
        self.patience[cache] = time.time() + FIRST_RETRY_S * 2 ** self._failed[cache]
        if self._random.random() < 0.5:
            self._tell(job, f"has read another manifest in {pod.name}")
            pod.finish(0, {**complete(cache), "manifest": ANOTHER_MANIFEST})
            self._end(job, "Complete")
        else:
            self._tell(job, f"fails in {pod.name}")
            pod.finish(2, incomplete(Reason.REPO_NOT_FOUND, "no such repository", cache))
            self._end(job, "Failed", "PodFailurePolicy")

    def _end(self, job: Json, outcome: str, reason: str = "") -> None:
        self._running.pop(_uid_of(job), None)
        self._space.kubelet.end_job(job, outcome, reason)

    def _tell(self, job: Json, what: str) -> None:
        self.history.append(f"{time.time():.3f} {job['metadata']['name']} ({_uid_of(job)[:8]}): {what}")

    def settle(self) -> None:
        """Claims are there, and every Job that there is succeeds; called again and again until all is well."""
        with suppress(ApiError):
            self._claim_comes()
        for job in self._unfinished():
            with suppress(ApiError):  # the operator has just replaced it
                if _task_of(job):
                    self._do_task(job, self._running.get(_uid_of(job)) or self._space.kubelet.pod_of(job))
                elif pod := self._running.get(_uid_of(job)) or self._start_pod(job):
                    self._succeed(job, pod)

    def sweep(self) -> None:
        """What a cluster forgets after some time: events, and Jobs that ended."""
        self._client.call("DELETE", self._client.path("events", self.namespace))
        present = {life.uid: life for life in self._present()}
        for job in self._client.list("jobs", self.namespace):
            life = present.get(job["metadata"]["ownerReferences"][0]["uid"])
            if life is None or life.by_generation[_generation_of(job)] != life.content:
                self._delete_job(job)
        jobs = {_uid_of(job) for job in self._client.list("jobs", self.namespace)}
        self._running = {uid: pod for uid, pod in self._running.items() if uid in jobs}
        running = {pod.name for pod in self._running.values()}
        self._mounted = {name: uid for name, uid in self._mounted.items() if name in running}
        for pod in self._client.list("pods", self.namespace):
            owners = pod["metadata"].get("ownerReferences")
            if owners and owners[0]["uid"] not in jobs:
                self._client.delete("pods", pod["metadata"]["name"], self.namespace)
        self.ledger.forget_the_dead(time.time() - 120)
        self._complaining = {name: until for name, until in self._complaining.items() if name in self.ledger.pods}

    def unsettled(self, since: float) -> list[str]:
        """What is not as it should be with all Jobs done; caches whose next Job was not due then are left out."""
        caches = {each["metadata"]["name"]: each for each in self._client.list("modelcaches", self.namespace)}
        asked = {name for name in caches if self.patience.get(name, 0.0) < since}
        found = [f"{name} is {_phase(caches[name])}" for name in sorted(asked) if not _is_ready(caches[name])]
        pods = {each["metadata"]["name"]: each for each in self._client.list("pods", self.namespace)}
        for pod in self.ledger.pods.values():
            gated = pod.name in pods and bool(pods[pod.name]["spec"].get("schedulingGates"))
            if pod.name not in pods:
                found.append(f"pod {pod.name} is gone")
            elif pod.cache in asked and gated:
                found.append(f"{pod.name} waits for {pod.cache}")
        claims = {each["metadata"]["name"] for each in self._client.list("persistentvolumeclaims", self.namespace)}
        return [*found, *(f"claim {name} is gone" for name in self.ledger.claims.keys() - claims)]


def _uid_of(job: Json) -> str:
    return str(job["metadata"]["uid"])


def _cache_of(job: Json) -> str:
    return str(job["metadata"]["labels"]["modelcache.dev/cache"])


def _task_of(job: Json) -> str:
    """Empty for a sync."""
    return str(job["metadata"]["labels"].get("modelcache.dev/task", ""))


def _claim_of(cache: str) -> str:
    """By the number in its name."""
    return MADE if int(cache.rpartition("-")[2]) % 2 else CLAIM


def _volume_on(claim_uid: str) -> str:
    """Each claim has a volume of its own, with an id of 32 hex digits."""
    return claim_uid.replace("-", "")


def _generation_of(job: Json) -> int:
    return int(job["metadata"]["labels"]["modelcache.dev/generation"])


def _phase(cache: Json) -> str:
    status = cache.get("status") or {}
    return f"{status.get('phase')}: {status.get('message')}"


def _is_ready(cache: Json) -> bool:
    status = cache.get("status") or {}
    ready = status.get("phase") == "Ready" and bool(status.get("complete"))
    return ready and status.get("observedGeneration") == cache["metadata"]["generation"]
