"""A cluster of one cache without any server: objects as JSON, a clock, and the pure ``reconcile`` acting on them.

``settle`` decides and carries out until nothing changes, as the operator does; each phase that would have been written
is kept in ``phases``. A new operator knows nothing but these objects, so every ``settle`` is also a restart.
"""

from __future__ import annotations

import json
import math
from typing import Any

from modelcache_operator.core import jobs, names, parse, parse_pods, peer_objects, render, task_jobs, timestamps
from modelcache_operator.core.copy_gate import affinity_patch
from modelcache_operator.core.gate import gate_patch
from modelcache_operator.core.job_defaults import NO_DEFAULTS
from modelcache_operator.core.lead_time import with_samples
from modelcache_operator.core.nodes import Nodes, parse_node
from modelcache_operator.core.observed import Cache, Neighbour, Peers, Progress, Refusals, Snapshot
from modelcache_operator.core.queues import admission_patch
from modelcache_operator.core.reconcile import Decision, reconcile
from modelcache_operator.core.reports import parse_report
from modelcache_operator.core.status import to_json
from support.kubeapi.patches import json_patch
from support.runner.statuses import Ended

Json = dict[str, Any]
START = 1_790_000_000.0
UID = "c0ffee00-0000-4000-8000-000000000001"


class PureCluster:
    """Starts with one cache, and a bound claim."""

    def __init__(self, claim: str | None = "Bound", **spec: Any) -> None:
        self.now = START
        self.cache: Json = {
            "metadata": {
                "name": "cache",
                "namespace": "default",
                "uid": UID,
                "generation": 1,
                "resourceVersion": "1",
                "creationTimestamp": timestamps.stamp(START),
            },
            "spec": {
                "models": [{"name": "base", "repo": "owner/small", "path": "base"}],
                "volume": {"claimName": "models"},
                **spec,
            },
        }
        self.pods: dict[str, Json] = {}
        self.jobs: dict[str, Json] = {}
        self.claim: Json | None = None
        self.config: Json | None = None
        self.neighbours: tuple[Neighbour, ...] = ()
        self.progress: dict[str, Progress] = {}
        self.refused = self.owner_refused = self.size_refused = self.gate_refused = self.task_refused = ""
        self.peer: Json | None = None
        """The pod of the peer server."""
        self.peer_created = self.peers_refused = ""
        self.job_defaults = NO_DEFAULTS
        self.refused_until = 0.0
        self.claim_shared = False
        self.nodes: dict[str, Json] = {}
        self.nodes_refused = ""
        self.stranded: list[str] = []
        """Pods that were told so."""
        self.without_node: set[str] = set()
        """Pods that were told that no copy is for them."""
        self.new_claims = "Bound"
        """Phase of claims that the operator creates."""
        self.phases: list[str] = []
        self.reasons: list[tuple[str, str]] = []
        """Phase and reason, each time that one of them changed."""
        self.notices: list[str] = []
        """Type, reason and cause of Events about the cache."""
        self.opened: list[str] = []
        self._version = 1
        if claim:
            self.set_claim(claim)

    # What happens

    def add_node(self, name: str, labels: Json | None = None, taints: tuple[Json, ...] = (), **spec: Any) -> None:
        node = self._object(name)
        node["metadata"]["labels"] = {"kubernetes.io/hostname": f"host-{name}", **(labels or {})}
        node["spec"] = {"taints": list(taints), **spec}
        self.nodes[name] = node
        self.set_ready(name)

    def set_ready(self, name: str, ready: bool = True) -> None:
        self.nodes[name]["status"] = {"conditions": [{"type": "Ready", "status": str(ready)}]}

    def set_claim(self, phase: str | None) -> None:
        """The claim is in this phase, or gone; a claim that was there stays the same one."""
        if phase is None:
            self.claim = None
        else:
            self.claim = {"spec": {}, **(self.claim or self._object("models")), "status": {"phase": phase}}

    def replace_claim(self, phase: str = "Bound") -> None:
        """Deleted, and created again under its name."""
        self.now += 1
        self.claim = None
        self.set_claim(phase)

    def change_spec(self, **spec: Any) -> None:
        self.cache["spec"] |= spec
        self.cache["metadata"]["generation"] += 1

    def annotate(self, value: str) -> None:
        self.cache["metadata"]["annotations"] = {names.RESYNC_ANNOTATION: value}

    def add_pod(
        self, name: str, job: str = "", gated: bool = False, claim: str = "models", init: bool = True, **spec: Any
    ) -> str:
        """A pod of a Job, or of the user's, which has the container ``init-sync`` unless said otherwise."""
        pod = self._object(name)
        pod["metadata"]["labels"] = {names.CACHE_LABEL: "cache"}
        if job:
            uid = self.jobs[job]["metadata"]["uid"]
            pod["metadata"]["ownerReferences"] = [{"uid": uid, "controller": True}]
        container = {"name": names.SYNC_CONTAINER, "args": ["sync", "--metrics-port", "9464"], **spec}
        pod["spec"] = {
            "containers" if job else "initContainers": [container] if init else [],
            "volumes": [{"persistentVolumeClaim": {"claimName": claim}}],
        }
        if gated:
            pod["spec"]["schedulingGates"] = [{"name": names.GATE}]
        pod["status"] = {"phase": "Pending"}
        self.pods[name] = pod
        return name

    def start(self, name: str) -> None:
        self.set_state(name, {"running": {"startedAt": timestamps.stamp(self.now)}})

    def wait(self, name: str, reason: str, message: str = "") -> None:
        self.set_state(name, {"waiting": {"reason": reason, "message": message}})

    def finish(self, name: str, code: int, report: Json | str = "", reason: str = "") -> None:
        message, at = report if isinstance(report, str) else json.dumps(report), timestamps.stamp(self.now)
        self.set_state(name, {"terminated": Ended(code, message, at, at, reason).json()})

    def set_state(self, name: str, state: Json) -> None:
        pod = self.pods[name]
        key = "initContainerStatuses" if "initContainers" in pod["spec"] else "containerStatuses"
        before = (pod["status"].get(key) or [{}])[0]
        status = {"name": names.SYNC_CONTAINER, "state": state, "restartCount": before.get("restartCount", 0)}
        if "terminated" in before.get("state", {}) and "terminated" not in state:
            status |= {"lastState": before["state"], "restartCount": before["restartCount"] + 1}
        pod["status"] |= {key: [status]}
        pod["metadata"]["resourceVersion"] = self._next()

    def tell_progress(self, name: str, report: Json) -> None:
        observation = parse_report(json.dumps(report))
        assert observation is not None
        uid = self.pods[name]["metadata"]["uid"]
        self.progress[uid] = with_samples(Progress(uid, self.now, observation), self.progress.get(uid))

    def end_job(self, name: str, outcome: str, reason: str = "", message: str = "") -> None:
        condition = {"type": outcome, "status": "True", "reason": reason, "message": message}
        condition["lastTransitionTime"] = timestamps.stamp(self.now)
        self.jobs[name]["status"] = {"conditions": [condition]}

    def forget_job(self, name: str) -> None:
        """Its time to live is over, or somebody deleted it; its pods go too."""
        uid = self.jobs.pop(name)["metadata"]["uid"]
        for pod in [each for each in self.pods.values() if _owner(each) == uid]:
            del self.pods[pod["metadata"]["name"]]

    def sync_well(self, report: Json) -> str:
        """The newest Job runs and succeeds; returns its name."""
        return self._sync(0, report, "Complete", "")

    def sync_badly(self, code: int, report: Json | str = "", reason: str = "BackoffLimitExceeded") -> str:
        """The newest Job runs and fails finally; returns its name."""
        return self._sync(code, report, "Failed", reason)

    def job_of(self, node: str) -> str:
        """The newest Job of the copy on a node that has not ended; empty if there is none."""
        jobs = [
            name
            for name, job in self.jobs.items()
            if job["metadata"]["annotations"].get(names.NODE_ANNOTATION) == node and "status" not in job
        ]
        return max(jobs, key=lambda name: int(self.jobs[name]["metadata"]["labels"][names.ATTEMPT_LABEL]), default="")

    def syncing(self) -> list[str]:
        """Nodes on which a Job has not ended."""
        return [name for name in self.nodes if self.job_of(name)]

    def sync_copy(self, node: str, report: Json | str, code: int = 0) -> str:
        """The Job of the copy on a node ends; returns its name."""
        job = self.job_of(node)
        pod = self.add_pod(f"{job}-p", job)
        self.pods[pod]["spec"]["nodeName"] = node
        self.start(pod)
        self.now += 5
        self.finish(pod, code, {"manifest": self.digest, **report} if isinstance(report, dict) else report)
        self.pods[pod]["status"]["phase"] = "Failed" if code else "Succeeded"
        self.end_job(job, "Failed" if code else "Complete", "BackoffLimitExceeded" if code else "")
        self.settle()
        return job

    def _sync(self, code: int, report: Json | str, outcome: str, reason: str) -> str:
        job = self.latest
        pod = self.add_pod(f"{job}-p{len(self.pods)}", job)
        self.start(pod)
        self.settle()
        self.now += 5
        self.finish(pod, code, report)
        self.settle()
        self.end_job(job, outcome, reason)
        self.settle()
        return job

    # What the operator makes of it

    @property
    def latest(self) -> str:
        return self._newest("")

    def _newest(self, task: str) -> str:
        """Name of the newest sync Job, or Job of a task; empty if there is none."""
        labels = {name: job["metadata"]["labels"] for name, job in self.jobs.items()}
        found = [name for name, each in labels.items() if each.get(names.TASK_LABEL, "") == task]
        return max(found, key=lambda name: int(labels[name][names.ATTEMPT_LABEL]), default="")

    @property
    def status(self) -> Json:
        status: Json = self.cache.get("status") or {}
        return status

    def condition(self, kind: str) -> Json:
        found: Json = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found

    @property
    def digest(self) -> str:
        return parse.parse_cache(self.cache).digest

    def parsed(self) -> Cache:
        return parse.parse_cache(self.cache, defaults=self.job_defaults)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            cache=self.parsed(),
            pods=tuple(parse_pods.parse_pod(each) for each in self.pods.values()),
            jobs=tuple(parse.parse_job(each) for each in self.jobs.values()),
            claim=parse.parse_claim(self.claim) if self.claim else None,
            config_digest=parse.config_digest(self.config) if self.config else None,
            progress=self.progress,
            neighbours=self.neighbours,
            refusals=Refusals(
                "Refused" if self.refused else "",
                self.refused,
                until=self.refused_until,
                owner=self.owner_refused,
                size=self.size_refused,
                task=self.task_refused,
                gate=self.gate_refused,
                peers=self.peers_refused,
                peers_reason="Refused" if self.peers_refused else "",
            ),
            peers=Peers(parse_pods.parse_peer_pod(self.peer) if self.peer else None, self.peer_created, "init-sync"),
            claim_shared=self.claim_shared,
            nodes=Nodes(
                {name: parse_node(node) for name, node in self.nodes.items()},
                "NodesForbidden" if self.nodes_refused else "",
                self.nodes_refused,
            ),
        )

    def decide(self) -> Decision:
        return reconcile(self.snapshot(), self.now)

    def settle(self, act: bool = True) -> Decision:
        """Decide and act until there is nothing left to do; ``act=False``: as long as nothing may be made."""
        self.refused_until = 0.0 if act else math.inf
        for _ in range(10):
            before = self._objects()
            decision = self.decide()
            self._write_status(decision)
            if act:
                self._act(decision)
            if before == self._objects():
                return decision
        raise AssertionError(f"the operator never comes to rest: {self.status}")

    def _objects(self) -> str:
        """All objects as they are now; much faster than a copy of them."""
        return json.dumps((self.cache, self.jobs, self.pods, self.claim, self.config, self.peer), sort_keys=True)

    def _write_status(self, decision: Decision) -> None:
        status = to_json(decision.status)
        if not self.phases or self.phases[-1] != status["phase"]:
            self.phases.append(str(status["phase"]))
        reason = next(each["reason"] for each in status["conditions"] if each["type"] == "Complete")
        if not self.reasons or self.reasons[-1] != (status["phase"], reason):
            self.reasons.append((status["phase"], reason))
        self.notices += [f"{each.type} {each.reason} {each.message.partition(':')[0]}" for each in decision.notices]
        self.cache["status"] = json.loads(json.dumps(status))

    def _act(self, decision: Decision) -> None:
        cache = self.parsed()
        if decision.write_config:
            self.config = render.config_map(cache)
        if decision.create_claim:
            self.claim = {**self._object(cache.volume.claim), **render.claim(cache, cache.volume.delete_with_cache)}
            self.claim["metadata"] |= self._object(cache.volume.claim)["metadata"]
            self.claim["status"] = {"phase": self.new_claims}
        if decision.enlarge_claim and self.claim:
            self.claim["spec"] |= {"resources": {"requests": {"storage": cache.volume.size}}}
        for name in decision.delete_jobs:
            self.forget_job(name)
        for request in (*filter(None, [decision.create_job]), *decision.copy_jobs):
            body = jobs.sync_job(cache, request, "init-sync")
            body["metadata"] = {**self._object(request.name)["metadata"], **body["metadata"]}
            self.jobs[request.name] = body
        if task := decision.tasks.create:
            body = task_jobs.task_job(cache, task, "init-sync")
            body["metadata"] = {**self._object(task.name)["metadata"], **body["metadata"]}
            self.jobs[task.name] = body
        self.without_node |= {pod.name for pod in decision.notify_without_node}
        self.stranded += [pod.name for pod in decision.notify_stranded]
        if decision.peers.delete:
            self.peer = None
        if decision.peers.create:
            self.peer = peer_objects.pod(cache, "init-sync", decision.peers.node)
            self.peer["metadata"] = {**self._object("")["metadata"], **self.peer["metadata"]}
            self.peer_created = self.peer["metadata"]["uid"]
        for pod in decision.remove_gates.pods:
            self.opened.append(pod.name)
            patch = gate_patch(pod, decision.remove_gates, decision.status.summary.commit, self.now)
            if decision.remove_gates.lead_to:
                patch += affinity_patch(self.pods[pod.name], decision.remove_gates.lead_to)
            self.pods[pod.name] = json_patch(self.pods[pod.name], patch)
        for job in decision.admit_jobs:
            self.jobs[job.name] = json_patch(self.jobs[job.name], admission_patch(job))

    def _object(self, name: str) -> Json:
        version = self._next()
        metadata = {
            "name": name,
            "namespace": "default",
            "uid": f"{int(version):08x}-0000-4000-8000-000000000000",
            "resourceVersion": version,
            "creationTimestamp": timestamps.stamp(self.now),
        }
        return {"metadata": metadata}

    def _next(self) -> str:
        self._version += 1
        return str(self._version)


def _owner(pod: Json) -> str:
    return next((str(each["uid"]) for each in pod["metadata"].get("ownerReferences", ())), "")
