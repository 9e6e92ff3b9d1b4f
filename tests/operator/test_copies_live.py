"""A copy on every node on an API: nodes are objects there, and no kubelet is behind them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Space
from support.helm import Helm
from support.hub import LocalHub, RepoBuilder
from support.kubeapi import FaultProxy
from support.kubelet import Pod
from support.node_selection import may_run
from support.operator_process import OperatorProcess
from support.peer import SENT, peer
from support.reports import complete
from support.service_account import bound_token
from support.waiting import eventually

Json = dict[str, Any]
DIGEST = f"sha256:{'5' * 64}"
ANSWERS = {
    "phase": "Running",
    "podIP": "10.1.2.3",
    "podIPs": [{"ip": "10.1.2.3"}],
    "conditions": [{"type": "Ready", "status": "True"}],
}


class Group:
    """Nodes of one test: they have no namespace, so a label tells them apart."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.name = f"g{uuid.uuid4().hex[:8]}"
        self.nodes: list[str] = []

    def node(self, ready: bool = True) -> str:
        name = f"{self.name}-{len(self.nodes)}"
        labels = {"pool": self.name, "kubernetes.io/hostname": f"host-{name}"}
        self.space.client.create("nodes", {"metadata": {"name": name, "labels": labels}}, "")
        self.set_ready(name, ready)
        # a real API server taints a new node until a controller that is not here says that it is ready
        self.space.client.patch("nodes", name, {"spec": {"taints": None}}, "")
        self.nodes.append(name)
        return name

    def set_ready(self, name: str, ready: bool, beat: str = "2026-11-29T00:00:00Z") -> None:
        condition = {"type": "Ready", "status": str(ready), "lastHeartbeatTime": beat}
        self.space.client.patch("nodes", name, {"status": {"conditions": [condition]}}, "", sub="status")

    def cache(self, *, peers: bool = False, **per_node: Any) -> None:
        self.space.kubelet.claim("models", accessModes=["ReadWriteMany"])
        volume = {"claimName": "models", "perNode": {"nodeSelector": {"pool": self.name}, **per_node}}
        self.space.cache(volume=volume, peers={"enabled": peers})

    def job(self, node: str) -> Json:
        """The unfinished Job of a node."""

        def found() -> Json | None:
            ours = [each for each in self.space.jobs() if _node(each) == node]
            return next((each for each in ours if not (each.get("status") or {}).get("conditions")), None)

        job: Json = eventually(found, f"a Job for {node}")
        return job

    def sync(self, node: str) -> None:
        number = int(node.rpartition("-")[2])
        job = self.job(node)
        manifest = job["metadata"]["annotations"]["modelcache.dev/manifest"]
        self.space.complete(job, complete(digest=DIGEST, manifest=manifest, volumeId=f"{number + 1:032x}"[::-1]))

    def until(self, figures: str) -> None:
        eventually(lambda: self.space.status().get("summary", {}).get("nodes") == figures, f"NODES is {figures}", 20)


def _node(job: Json) -> str:
    return str(job["metadata"]["annotations"].get("modelcache.dev/node"))


@pytest.fixture
def nodes(space: Space) -> Iterator[Group]:
    found = Group(space)
    yield found
    for name in found.nodes:
        if space.client.find("nodes", name, ""):
            space.client.delete("nodes", name, "")


def per_node(space: Space, *more: str) -> OperatorProcess:
    return OperatorProcess(space.cluster.kubeconfig, "--per-node", *more, namespaces=(space.namespace,))


def test_copies_are_synced_one_after_the_other_and_pods_are_led_to_them(space: Space, nodes: Group) -> None:
    first, second, third = (nodes.node() for _ in range(3))
    own = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "pool", "operator": "Exists"}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [third]}]},
    ]}}  # fmt: skip
    with per_node(space) as operator:
        nodes.cache()
        pods = [
            space.kubelet.workload("cache", "models", affinity={"nodeAffinity": own} if n else None) for n in range(2)
        ]
        nodes.sync(first)
        nodes.until("1/3")
        assert [_node(job) for job in space.jobs()][:1] == [first]
        eventually(lambda: [pod.gated for pod in pods].count(False) == 1, "one pod looks for the one copy")
        opened = next(pod for pod in pods if not pod.gated)
        assert _hosts(space, nodes, opened) == [first]
        nodes.sync(second)
        nodes.sync(third)
        nodes.until("3/3")
        eventually(lambda: not any(pod.gated for pod in pods), "no other copy is to come")
        late = next(pod for pod in pods if pod is not opened)
        assert _hosts(space, nodes, late) == [first, second, third]
        assert "nodes" in space.status()
        labels = f'cache="cache",namespace="{space.namespace}",state="complete"'
        assert operator.metric(f"modelcache_copies{{{labels}}}") == 3
        assert [line for line in operator.lines if line.get("level") not in ("info", "debug")] == []
    (pinned,) = [each for each in space.jobs() if _node(each) == third]
    assert DIGEST in pinned["spec"]["template"]["metadata"]["annotations"]["modelcache.dev/pins"]


def _hosts(space: Space, nodes: Group, pod: Pod) -> list[str]:
    affinity = pod.fresh()["spec"].get("affinity")
    labels = {name: space.client.get("nodes", name, "")["metadata"]["labels"] for name in nodes.nodes}
    return [name for name in nodes.nodes if may_run(affinity, name, labels[name])]


def test_nodes_that_come_and_go_are_seen_and_heartbeats_are_not(space: Space, nodes: Group) -> None:
    first = nodes.node()
    with per_node(space) as operator:
        nodes.cache()
        nodes.sync(first)
        nodes.until("1/1")
        second = nodes.node(ready=False)
        nodes.until("1/2")
        nodes.set_ready(second, True)
        nodes.sync(second)
        nodes.until("2/2")
        before = operator.metric("modelcache_operator_reconciles_total")
        for number in range(5):
            nodes.set_ready(first, True, f"2026-11-29T00:00:1{number}Z")
        space.client.delete("nodes", second, "")
        nodes.until("1/1")
        assert operator.metric("modelcache_operator_reconciles_total") - before <= 4


def test_after_a_restart_the_copies_are_known_and_no_job_is_made(space: Space, nodes: Group) -> None:
    names = [nodes.node() for _ in range(2)]
    with per_node(space):
        nodes.cache()
        for name in names:
            nodes.sync(name)
        nodes.until("2/2")
    for job in space.jobs():
        space.client.delete("jobs", job["metadata"]["name"], space.namespace)
    for pod in space.client.list("pods", space.namespace):
        space.client.delete("pods", pod["metadata"]["name"], space.namespace)
    with per_node(space):
        waiting = space.kubelet.workload("cache", "models")
        eventually(lambda: not waiting.gated, "the gate is removed")
        assert space.jobs() == []
        nodes.until("2/2")


def test_an_operator_that_was_not_told_to_look_at_nodes_says_what_to_do(
    space: Space, nodes: Group, operator: OperatorProcess
) -> None:
    nodes.node()
    nodes.cache()
    message = _until_reason(space, "NodesNotWatched")
    assert "--per-node" in message
    assert "operator.perNode.enabled" in message


def test_an_operator_that_may_not_look_at_nodes_says_so_and_lives_on(space: Space, nodes: Group, helm: Helm) -> None:
    real = space.cluster.real
    if real is None:
        pytest.skip("RBAC is enforced by a real API server only")
    nodes.node()
    kubeconfig = real.write_kubeconfig(space.namespace, {"token": bound_token(space, helm, {})})
    with OperatorProcess(kubeconfig, "--per-node", namespaces=(space.namespace,)):
        nodes.cache()
        assert "Give it get, list and watch on nodes" in _until_reason(space, "NodesForbidden")
        space.kubelet.claim("other")
        space.cache("plain", "other")
        space.job(name="plain")


def test_a_cluster_role_for_nodes_beside_a_role_is_enough(space: Space, nodes: Group, helm: Helm) -> None:
    real = space.cluster.real
    if real is None:
        pytest.skip("RBAC is enforced by a real API server only")
    first = nodes.node()
    token = bound_token(space, helm, {"operator": {"perNode": {"enabled": True}}})
    kubeconfig = real.write_kubeconfig(space.namespace, {"token": token})
    with OperatorProcess(kubeconfig, "--per-node", namespaces=(space.namespace,)) as operator:
        nodes.cache()
        pod = space.kubelet.workload("cache", "models")
        nodes.sync(first)
        eventually(lambda: not pod.gated, "the gate is removed")
        second = nodes.node()
        nodes.sync(second)
        nodes.until("2/2")
        assert [line for line in operator.lines if line.get("level") not in ("info", "debug")] == []


def _until_reason(space: Space, reason: str) -> str:
    found = eventually(lambda: space.condition("Complete"), reason, wanted=lambda each: each.get("reason") == reason)
    return str(found["message"])


def test_a_status_is_written_every_two_seconds_at_most(space: Space, nodes: Group) -> None:
    names = [nodes.node() for _ in range(6)]
    with per_node(space) as operator:
        nodes.cache(maxParallel=6)
        nodes.sync(names[0])
        nodes.until("1/6")
        before = operator.metric("modelcache_operator_status_writes_total")
        for name in names[1:]:
            nodes.sync(name)
        nodes.until("6/6")
        assert operator.metric("modelcache_operator_status_writes_total") - before <= 3


class Disks:
    """A folder for each node; the real sync, and the real server beside the first copy."""

    def __init__(self, nodes: Group, hub: LocalHub, folder: Path) -> None:
        self.nodes, self.hub, self.space = nodes, hub, nodes.space
        self.by_node = {name: folder / name for name in nodes.nodes}
        for disk in self.by_node.values():
            disk.mkdir()

    def sync(self, name: str, served: str = "") -> int:
        job = self.nodes.job(name)
        _, code = self.space.kubelet.sync(job, self.by_node[name], self.hub.endpoint, served)
        self.space.kubelet.end_job(job, "Complete")
        return code

    def serve_the_first(self) -> str:
        """Its server is said to be ready; returns the address that pods are given."""
        pod = eventually(lambda: self.space.client.find("pods", "cache-peers", self.space.namespace), "it is served")
        assert may_run(pod["spec"]["affinity"], self.nodes.nodes[0], {})
        self.space.client.patch("pods", "cache-peers", {"status": ANSWERS}, self.space.namespace, sub="status")
        address = eventually(lambda: (self.space.status().get("peers") or {}).get("address"), "the status has it")
        return str(address)

    def are_equal(self) -> bool:
        first, *others = (disk / "cache-base" for disk in self.by_node.values())
        files = [path for path in first.iterdir() if path.is_file()]
        assert len(files) == 3
        return all((each / path.name).read_bytes() == path.read_bytes() for each in others for path in files)


def test_eight_copies_cost_the_hub_one(
    space: Space, nodes: Group, hub: LocalHub, repo: RepoBuilder, tmp_path: Path
) -> None:
    first, *others = (nodes.node() for _ in range(8))
    disks = Disks(nodes, hub, tmp_path)
    with per_node(space), peer(disks.by_node[first]) as served:
        nodes.cache(peers=True, maxParallel=7)
        assert disks.sync(first) == 0
        once = hub.bytes_sent
        disks.serve_the_first()
        assert [disks.sync(name, served.endpoint) for name in others] == [0] * 7
        nodes.until("8/8")
    assert hub.bytes_sent == once > 2**20
    assert disks.are_equal()


def test_a_pod_without_a_gate_fills_the_copy_of_its_node_from_the_first_one(
    space: Space, nodes: Group, hub: LocalHub, repo: RepoBuilder, tmp_path: Path
) -> None:
    """As that of a DaemonSet. The Job of the node finds all there, and proves it."""
    first, other = (nodes.node() for _ in range(2))
    disks = Disks(nodes, hub, tmp_path)
    with per_node(space), peer(disks.by_node[first]) as served:
        nodes.cache(peers=True)
        assert disks.sync(first) == 0
        address = disks.serve_the_first()
        pod = space.kubelet.workload("cache", "models", gated=False, peers=address)
        space.client.bind(pod.name, space.namespace, other)
        once = hub.bytes_sent
        assert space.kubelet.init(pod, disks.by_node[other], hub.endpoint, served.endpoint) == 0
        assert hub.bytes_sent == once > 2**20
        assert disks.are_equal()
        given = served.samples()[SENT]
        assert disks.sync(other, served.endpoint) == 0
        nodes.until("2/2")
        assert served.samples()[SENT] == given
        eventually(lambda: space.status()["pods"]["started"] == 1, "the pod is a started one")


def test_jobs_that_are_refused_keep_no_pod_from_the_copies_that_are_complete(
    space: Space, nodes: Group, proxy: FaultProxy, tmp_path: Path
) -> None:
    first = nodes.node()
    with OperatorProcess(proxy.kubeconfig(tmp_path), "--per-node", namespaces=(space.namespace,)):
        nodes.cache()
        nodes.sync(first)
        nodes.until("1/1")
        refused = proxy.faults.add(403, 1_000_000, "create", "jobs")
        nodes.node()
        eventually(lambda: space.status().get("nodes", {}).get("failed") == 1, "the other copy is failed")
        assert "Job" in space.status()["message"]
        pods = [space.kubelet.workload("cache", "models") for _ in range(2)]
        eventually(lambda: not any(pod.gated for pod in pods), "both gates are removed")
        assert (space.status()["phase"], bool(refused.spoilt)) == ("Ready", True)


def test_a_pod_that_no_copy_is_for_stays_at_the_gate_and_is_told(space: Space, nodes: Group) -> None:
    first = nodes.node()
    elsewhere = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["elsewhere"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": elsewhere}}}
    with per_node(space):
        nodes.cache()
        lost = space.kubelet.workload("cache", "models", affinity=affinity)
        nodes.sync(first)
        nodes.until("1/1")

        def told() -> list[str]:
            return [each["message"] for each in space.events(lost.name) if each["type"] == "Warning"]

        assert "matches the nodeSelector and node affinity" in eventually(told, "it is told")[0]
        assert lost.gated
