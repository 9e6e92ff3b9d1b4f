"""Random lives of nodes and a cache with a copy on each: they come, go, are cordoned, tainted, or get another disk.

Sometimes the claim is another one, and sometimes the pod of a Job does not start.
"""

from __future__ import annotations

import math
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import eq
from typing import Any

from init_sync.core.reasons import Reason
from modelcache_operator.core import timestamps
from modelcache_operator.core.copy_proof import NOT_STARTED_S
from reliability.copy_ledger import PARALLEL, CopyLedger, NodeLife, UserPod
from reliability.ledger import NOTICED_S
from support.cluster import Space
from support.copies import DIGEST
from support.kubeapi.errors import ApiError
from support.kubelet import Pod
from support.node_selection import may_run
from support.reports import complete, incomplete
from support.waiting import eventually

Json = dict[str, Any]

CACHE, CLAIM = "copies", "local"
FEWEST, MOST, PODS = 2, 5, 10
RETRY_S, REPAIR_S = 20.0, 60.0
HEALTHY: Json = {"taints": None, "unschedulable": None}
TROUBLES: tuple[Json, ...] = (
    {"unschedulable": True},
    {"taints": [{"key": "db", "effect": "NoSchedule"}]},
    {"taints": [{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]},
)


class CopyLife:
    """In a namespace of its own; nodes have none, so a label tells those of this group."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._client = space, space.client
        self._random = random.Random(seed)
        self._numbers = iter(range(1, 1 << 30))
        self._serving: dict[str, Pod] = {}
        self._complaining: dict[str, float] = {}
        """Pods that reported another disk, and until when they stay so: the operator must get to see it."""
        self.ledger = CopyLedger()
        self.acts = 0
        self.patience = 0.0
        """Until when a Job may not be due."""
        self._stuck: dict[str, Pod] = {}
        """Pods of Jobs, by uid of these, that do not start."""
        self._create_claim()
        group = {"nodeSelector": {"pool": self.namespace}, "maxParallel": PARALLEL}
        began = time.time()
        self.ledger.changed(space.cache(CACHE, volume={"claimName": CLAIM, "perNode": group}), began)
        for _ in range(FEWEST):
            self._join()

    @property
    def namespace(self) -> str:
        return self._space.namespace

    def act(self) -> None:
        """One thing happens; that what it is about has just gone is part of life."""
        weighted: dict[Callable[[], None], int] = {
            self._join: 2,
            self._leave: 1,
            self._come_back: 2,
            self._change_state: 5,
            self._exchange_disk: 1,
            self._random.choice((self._clone_disk, self._change_content, self._resync, self._exchange_claim)): 1,
            self._hold_up: 2,
            self._create_pod: 8,
            self._delete_pod: 5,
            self._schedule: 12,
            self._job: 20,
        }
        self.acts += 1
        with suppress(ApiError):
            self._random.choices(list(weighted), list(weighted.values()))[0]()

    def _pick(self) -> NodeLife:
        return self._random.choice(self.ledger.present())

    def _join(self, name: str = "") -> None:
        if not name and len(self.ledger.present()) >= MOST:
            return
        name = name or f"{self.namespace}-{next(self._numbers)}"
        labels = {"pool": self.namespace, "kubernetes.io/hostname": f"host-{name}"}
        raw = self._client.create("nodes", {"metadata": {"name": name, "labels": labels}}, "")
        node = NodeLife(name, raw["metadata"]["uid"], labels, uuid.uuid4().hex, math.inf)
        self.ledger.nodes.append(node)
        self._client.patch("nodes", name, {"spec": {"taints": None}}, "")  # a real API server's, until it is ready
        self._set_state(node, HEALTHY)

    def _leave(self) -> None:
        if len(self.ledger.present()) > FEWEST:
            self._remove(self._pick())

    def _remove(self, node: NodeLife) -> None:
        self._client.delete("nodes", node.name, "")
        node.ended_at = time.time()
        for pod in [pod for pod in self.ledger.pods.values() if pod.node == node.name]:
            self._drop(pod.name)
        self.ledger.note()

    def _come_back(self) -> None:
        """Under the same name, with another uid and an empty disk."""
        node = self._pick()
        self._remove(node)
        self._join(node.name)

    def _change_state(self) -> None:
        node = self._pick()
        if node.available_since < math.inf:
            self._set_state(node, self._random.choice((None, *TROUBLES)))
        else:
            self._set_state(node, HEALTHY)

    def _set_state(self, node: NodeLife, spec: Json | None) -> None:
        """None: not ready."""
        node.available_since = math.inf
        node.in_group = spec != TROUBLES[1]
        self.ledger.note()
        condition = {"type": "Ready", "status": str(spec is not None)}
        self._client.patch("nodes", node.name, {"status": {"conditions": [condition]}}, "", sub="status")
        self._client.patch("nodes", node.name, {"spec": spec or {}}, "")
        if spec is HEALTHY:
            node.available_since = time.time()
        self.ledger.note()

    def _exchange_disk(self) -> None:
        """An empty one, which the next pod on the node finds."""
        found = [pod for pod in self.ledger.pods.values() if pod.node and pod.name not in self._complaining]
        node = next((each for each in self.ledger.present() if found and each.name == found[0].node), None)
        proof = node.proof(self.ledger.content) if node else None
        if node is None or proof is None or time.time() - proof.at < 3:
            return
        node.volume = uuid.uuid4().hex
        self._complaining[found[0].name] = time.time() + NOTICED_S
        self.patience = time.time() + REPAIR_S
        report = incomplete(Reason.FILE_MISSING, "no such file", CACHE, volumeId=node.volume)
        self._serving[found[0].name].finish(1, report)
        self.ledger.disproven(node)

    def _clone_disk(self) -> None:
        """What is on it shows once a Job runs there."""
        self._pick().volume = self._pick().volume

    def _change_content(self) -> None:
        models = [{"name": "base", "repo": f"owner/v{next(self._numbers)}", "path": "base"}]
        began = time.time()
        raw = self._client.patch("modelcaches", CACHE, {"spec": {"models": models}}, self.namespace)
        self.ledger.changed(raw, began)
        self.patience = 0.0

    def _create_claim(self) -> None:
        claim = self._space.kubelet.claim(CLAIM, accessModes=["ReadWriteMany"])
        self.ledger.claim_exchanged(claim["metadata"]["uid"])

    def _exchange_claim(self) -> None:
        """Another one of the same name: nothing is proven of it."""
        self._client.delete("persistentvolumeclaims", CLAIM, self.namespace)
        with suppress(ApiError):  # without a controller that does so once no pod mounts it
            self._client.patch("persistentvolumeclaims", CLAIM, {"metadata": {"finalizers": None}}, self.namespace)
        self._create_claim()
        self.patience = 0.0

    def _resync(self) -> None:
        annotation = {"metadata": {"annotations": {"modelcache.dev/resync": str(next(self._numbers))}}}
        self._client.patch("modelcaches", CACHE, annotation, self.namespace)

    def _create_pod(self) -> None:
        if len(self.ledger.pods) < PODS:
            name = f"serve-{next(self._numbers)}"
            self.ledger.pods[name] = UserPod(name)
            self._serving[name] = self._space.kubelet.workload(CACHE, CLAIM, name)

    def _delete_pod(self) -> None:
        quiet = [name for name in self.ledger.pods if self._complaining.get(name, 0.0) < time.time()]
        if quiet:
            self._drop(self._random.choice(quiet))

    def _drop(self, name: str) -> None:
        del self.ledger.pods[name]
        self.ledger.note()
        self._serving.pop(name).delete()

    def _schedule(self) -> None:
        """The scheduler binds a pod that is ungated, if there is a node for it; it prefers one without any."""
        usable = [node for node in self.ledger.present() if node.available_since < math.inf]
        taken = {pod.node for pod in self.ledger.pods.values()}
        for pod in [each for each in self.ledger.pods.values() if each.opened_at is not None and not each.node]:
            affinity = self._serving[pod.name].fresh()["spec"].get("affinity")
            found = [node for node in usable if may_run(affinity, node.name, node.labels)]
            if found:
                node = min(found, key=lambda each: each.name in taken)
                self._client.bind(pod.name, self.namespace, node.name)
                pod.node = node.name
                self.ledger.note()
                return

    def _unfinished(self) -> list[tuple[Json, NodeLife]]:
        """Jobs whose pod can start; that of a node that is gone may start on the one that has its name now."""
        hosts = {node.name: node for node in self.ledger.present() if node.available_since < math.inf}
        jobs = [job for job in self._client.list("jobs", self.namespace) if not job.get("status", {}).get("conditions")]
        named = [(job, hosts.get(job["metadata"]["annotations"]["modelcache.dev/node"])) for job in jobs]
        return [(job, node) for job, node in named if node]

    def _job(self) -> None:
        if found := self._unfinished():
            alone = not any(node.failed for node in self.ledger.present())  # each further one takes longer
            self.finish(*self._random.choice(found), fails=alone and self._random.random() < 0.15)

    def _hold_up(self) -> None:
        """The directory is missing: for longer than the operator waits, the pod of a Job does not start on its node."""
        found = [
            (job, node)
            for job, node in self._unfinished()
            if job["metadata"]["uid"] not in self._stuck and self._is_for(job, node)
        ]
        if found:
            job, node = self._random.choice(found)
            pod = self._stuck[job["metadata"]["uid"]] = self._space.kubelet.pod_of(job)
            self._client.bind(pod.name, self.namespace, node.name)
            self.ledger.held_up(job["metadata"]["uid"], node)
            pod.waiting("ContainerCreating", placed_at=timestamps.stamp(time.time() - NOT_STARTED_S - 1))

    def _is_for(self, job: Json, node: NodeLife) -> bool:
        """Not for an earlier node of this name, nor an earlier claim."""
        notes = job["metadata"]["annotations"]
        uids = {"node": node.uid, "claim": self.ledger.claim_uid}
        return all(notes[f"modelcache.dev/{name}-uid"] == uid for name, uid in uids.items())

    def finish(self, job: Json, node: NodeLife, fails: bool = False) -> None:
        metadata = job["metadata"]
        pod = self._stuck.pop(metadata["uid"], None)
        if pod is None:
            pod = self._space.kubelet.pod_of(job)
            self._client.bind(pod.name, self.namespace, node.name)
        pod.running()
        ours = self._is_for(job, node)
        self.ledger.ended(metadata["uid"])
        if fails:
            self.patience = max(self.patience, time.time() + RETRY_S)
            pod.finish(2, incomplete(Reason.REPO_NOT_FOUND, "no such repository", CACHE))
            if ours:
                self.ledger.failed(node)
        else:
            if ours:
                self.ledger.proven(node, int(metadata["labels"]["modelcache.dev/generation"]))
            manifest = metadata["annotations"]["modelcache.dev/manifest"]
            pod.finish(0, complete(CACHE, digest=DIGEST, manifest=manifest, volumeId=node.volume))
        self._space.kubelet.end_job(job, "Failed" if fails else "Complete", "PodFailurePolicy" if fails else "")

    def calm(self) -> None:
        """Nodes are well, and each has a disk of its own."""
        volumes: set[str] = set()
        for node in self.ledger.present():
            if node.available_since == math.inf:
                self._set_state(node, HEALTHY)
            node.volume = uuid.uuid4().hex if node.volume in volumes else node.volume
            volumes.add(node.volume)
        if self.ledger.twins:
            self._resync()

    def settle(self) -> None:
        """Every Job succeeds, and pods find nodes; called again and again until all is well."""
        with suppress(ApiError):
            for job, node in self._unfinished():
                self.finish(job, node)
            self._schedule()

    def unsettled(self, since: float) -> list[str]:
        if self.patience > since:
            return []
        status, nodes = self._space.status(CACHE), self.ledger.present()
        total = len(nodes)
        figures = (status.get("summary") or {}).get("nodes")
        found = [] if figures == f"{total}/{total}" else [f"{figures} of {total} copies: {status.get('message')}"]
        found += [f"{each.name} was never proven" for each in nodes if not each.proof(self.ledger.content)]
        return [*found, *(f"{each.name} waits for a copy" for each in self.ledger.pods.values() if not each.opened_at)]

    def drill(self, within_s: float) -> None:
        """Another content, one more pod than nodes: each copy that is proven lets one pod look for it, and no more.

        Raises:
            AssertionError: when one does not look for it in time.
        """
        try:
            self._drill(within_s)
        finally:
            self.ledger.strict = False

    def _drill(self, within_s: float) -> None:
        for name in list(self.ledger.pods):
            self._drop(name)
        self._change_content()
        total = len(self.ledger.present())
        for _ in range(total + 1):
            self._create_pod()
        generation = str(self._client.get("modelcaches", CACHE, self.namespace)["metadata"]["generation"])
        for number in range(1, total + 1):
            job, node = eventually(lambda: self._of(generation), f"{self.namespace}: Job {number}", within_s)
            self.ledger.strict = True  # the operator has seen all that was before
            self.finish(job, node)
            expected = number if number < total else total + 1
            what = f"{self.namespace}: {expected} pods are ungated"
            eventually(self._opened, what, within_s, wanted=partial(eq, expected))
            if self._random.random() < 0.5:  # as long as it has no node, it counts
                self._schedule()

    def _of(self, generation: str) -> tuple[Json, NodeLife] | None:
        labels = ((each[0]["metadata"]["labels"], each) for each in self._unfinished())
        return next((each for found, each in labels if found["modelcache.dev/generation"] == generation), None)

    def _opened(self) -> int:
        return sum(pod.opened_at is not None for pod in self.ledger.pods.values())

    def sweep(self) -> None:
        """Jobs that ended are forgotten after some time, with their pods."""
        for job in self._client.list("jobs", self.namespace):
            self._client.delete("jobs", job["metadata"]["name"], self.namespace)
        for pod in self._client.list("pods", self.namespace):
            if pod["metadata"]["name"] not in self.ledger.pods:
                self._client.delete("pods", pod["metadata"]["name"], self.namespace)
        self._client.call("DELETE", self._client.path("events", self.namespace))
        jobs = {job["metadata"]["uid"] for job in self._client.list("jobs", self.namespace)}
        self._stuck = {uid: pod for uid, pod in self._stuck.items() if uid in jobs}
        self._complaining = {name: until for name, until in self._complaining.items() if name in self.ledger.pods}
        self.ledger.forget_the_dead(time.time() - 120)
