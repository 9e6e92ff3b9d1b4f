"""Pods of a cache with a copy on every node: how many are ungated, and where they may run."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcache_operator.core import names
from modelcache_operator.core.copies import Copies
from modelcache_operator.core.copy_gate import MAX_NAMED, requirements
from modelcache_operator.core.copy_proof import look_at_copies
from modelcache_operator.core.node_affinity import Requirement
from modelcache_operator.core.owned_objects import sort_objects
from support.copies import group, report
from support.node_selection import may_run, may_run_pod, on, required
from support.pure_cluster import PureCluster

Json = dict[str, Any]


def look(world: PureCluster) -> Copies:
    snapshot = world.snapshot()
    assert snapshot.cache.volume.per_node is not None
    return look_at_copies(snapshot, sort_objects(snapshot), snapshot.cache.volume.per_node, world.now)


def test_few_copies_are_named_by_the_label_of_their_nodes() -> None:
    world = group(3)
    world.sync_copy("n0", report("n0"))
    assert requirements(look(world), {}) == (Requirement("kubernetes.io/hostname", "In", ("host-n0",)),)


def test_above_five_hundred_the_others_are_named_and_the_group() -> None:
    world = group(0, nodeSelector={"pool": "gpu"}, maxParallel=1000)
    for number in range(MAX_NAMED + 3):
        world.add_node(f"n{number:03}", {"pool": "gpu"})
    world.settle()
    world.sync_copy("n000", report("n000"))
    for number in range(1, MAX_NAMED + 1):
        job = world.job_of(f"n{number:03}")
        world.finish(world.add_pod(f"{job}-p", job), 0, report(f"n{number:03}"))
        world.end_job(job, "Complete")
    world.settle()
    assert requirements(look(world), {"pool": "gpu"}) == (
        Requirement("kubernetes.io/hostname", "NotIn", ("host-n501", "host-n502")),
        Requirement("pool", "In", ("gpu",)),
    )


# The number


def add_pods(world: PureCluster, count: int) -> list[str]:
    first = len(world.pods)
    return [world.add_pod(f"serve-{first + number}", gated=True) for number in range(count)]


def place(world: PureCluster, pod: str, node: str) -> None:
    world.pods[pod]["spec"]["nodeName"] = node
    world.settle()


def test_while_copies_are_missing_each_free_copy_gets_one_pod() -> None:
    world = group(3)
    pods = add_pods(world, 4)
    world.settle()
    assert world.opened == []
    world.sync_copy("n0", report("n0"))
    assert world.opened == pods[:1]
    assert world.status["pods"]["waiting"] == 3
    place(world, pods[0], "n0")
    assert world.opened == pods[:1]
    world.sync_copy("n1", report("n1"))
    assert world.opened == pods[:2]
    world.sync_copy("n2", report("n2"))
    assert world.opened == pods, "no copy is to come"


def test_gate_and_affinity_are_one_patch() -> None:
    world = group(2)
    (pod,) = add_pods(world, 1)
    world.sync_copy("n0", report("n0"))
    spec = world.pods[pod]["spec"]
    assert spec["schedulingGates"] == []
    fitting = [name for name in world.nodes if may_run(spec["affinity"], name, world.nodes[name]["metadata"]["labels"])]
    assert fitting == ["n0"]


def test_a_pod_that_others_hold_too_takes_nobodys_place() -> None:
    world = group(3)
    first, second = add_pods(world, 2)
    world.pods[first]["spec"]["schedulingGates"].append({"name": "other.example/gate"})
    world.sync_copy("n0", report("n0"))
    assert world.opened == [second]
    world.sync_copy("n1", report("n1"))
    world.sync_copy("n2", report("n2"))
    assert world.opened == [second, first], "no copy is to come"


def test_no_lead_time_leads_a_pod_to_a_copy_that_is_not_complete() -> None:
    world = group(2)
    world.change_spec(gate={"leadTime": "1h"})
    add_pods(world, 1)
    pod = world.add_pod("sync", world.job_of("n0"))
    world.start(pod)
    for second in range(100):
        world.now += 1
        total, present = 1 << 40, (1 << 40) - (100 - second) * (1 << 20)
        said = {**report("n0", manifest=world.digest), "complete": False, "bytesTotal": total, "bytesPresent": present}
        world.tell_progress(pod, {**said, "bytesFetched": (second + 1) << 20})
        world.settle()
    assert (world.status["phase"], world.opened) == ("Syncing", [])


def test_a_copy_on_a_node_that_is_cordoned_is_no_free_one() -> None:
    world = group(3)
    world.sync_copy("n0", report("n0"))
    world.nodes["n0"]["spec"]["unschedulable"] = True
    add_pods(world, 1)
    world.settle()
    assert world.opened == []


def test_a_copy_that_failed_is_not_waited_for() -> None:
    world = group(2)
    pods = add_pods(world, 3)
    world.sync_copy("n0", report("n0"))
    world.sync_copy("n1", "", code=1)
    assert world.opened == pods


def test_nodes_that_affinity_cannot_name_lead_no_pod() -> None:
    world = group(1)
    world.nodes["n0"]["metadata"]["labels"] = {}
    add_pods(world, 1)
    world.sync_copy("n0", report("n0"))
    assert (world.status["phase"], world.opened) == ("Ready", [])


def test_a_pod_whose_nodes_are_full_is_told() -> None:
    world = group(2)
    (pod,) = add_pods(world, 1)
    world.sync_copy("n0", report("n0"))
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient gpu"}
    world.pods[pod]["status"]["conditions"] = [condition]
    world.now += 31
    world.settle()
    assert pod in world.stranded


# Where a pod may run by itself


def add_pod(world: PureCluster, name: str, **spec: Any) -> str:
    world.add_pod(name, gated=True)
    world.pods[name]["spec"] |= spec
    return name


def test_pods_of_a_daemonset_are_ungated_each_when_the_copy_of_its_node_is_complete() -> None:
    world = group(3)
    pods = [add_pod(world, f"daemon-n{number}", **on(f"n{number}")) for number in (2, 1, 0)]
    world.sync_copy("n0", report("n0"))
    assert world.opened == ["daemon-n0"]
    world.sync_copy("n2", report("n2"))
    world.sync_copy("n1", "", code=1)
    assert world.opened == ["daemon-n0", "daemon-n2"], "the copy of n1 failed"
    world.now += 700
    world.settle()
    world.sync_copy("n1", report("n1"))
    assert set(world.opened) == set(pods)
    assert [_nodes_for(world, pod) for pod in pods] == [["n2"], ["n1"], ["n0"]]


def _nodes_for(world: PureCluster, pod: str) -> list[str]:
    return [name for name, node in world.nodes.items() if may_run_pod(world.pods[pod]["spec"], node)]


def test_a_pod_that_can_use_no_copy_yet_takes_nobodys_place() -> None:
    world = group(3)
    add_pod(world, "daemon", **on("n1"))
    add_pod(world, "deployed")
    world.sync_copy("n0", report("n0"))
    assert world.opened == ["deployed"]


def test_a_pod_that_looks_for_other_nodes_takes_nobodys_place() -> None:
    world = group(4)
    add_pod(world, "first", **on("n0"))
    world.sync_copy("n0", report("n0"))
    place(world, world.add_pod("bound"), "n0")
    add_pod(world, "second")
    world.sync_copy("n1", report("n1"))
    assert world.opened == ["first", "second"]


OUTSIDE: dict[str, Json] = {
    "by name": on("elsewhere"),
    "by label": {"nodeSelector": {"pool": "cpu"}},
    "by affinity": required(matchExpressions=[{"key": "pool", "operator": "In", "values": ["cpu"]}]),
    "by nothing at all": required(),
}


@pytest.mark.parametrize("spec", OUTSIDE.values(), ids=OUTSIDE)
def test_a_pod_that_no_node_of_the_group_is_for_stays_at_the_gate_and_is_told(spec: Json) -> None:
    world = group(0, nodeSelector={"pool": "gpu"})
    world.add_node("n0", {"pool": "gpu"})
    world.add_node("elsewhere", {"pool": "cpu"})
    world.settle()
    add_pod(world, "lost", **spec)
    add_pod(world, "deployed")
    world.sync_copy("n0", report("n0"))
    assert (world.opened, world.without_node) == (["deployed"], {"lost"})
    assert world.status["pods"]["waiting"] == 1


def test_a_pod_is_ungated_when_its_node_has_joined_the_group_and_has_a_copy() -> None:
    world = group(0, nodeSelector={"pool": "gpu"})
    world.add_node("n0", {"pool": "gpu"})
    world.add_node("n1", {"pool": "cpu"})
    world.settle()
    add_pod(world, "daemon", **on("n1"))
    world.sync_copy("n0", report("n0"))
    world.nodes["n1"]["metadata"]["labels"]["pool"] = "gpu"
    world.settle()
    assert world.opened == []
    world.sync_copy("n1", report("n1"))
    assert world.opened == ["daemon"]


def test_a_pod_whose_copy_may_still_come_is_told_nothing() -> None:
    world = group(2)
    add_pod(world, "daemon", **on("n1"))
    world.sync_copy("n0", report("n0"))
    world.sync_copy("n1", "", code=1)
    world.now += 60
    world.settle()
    assert (world.opened, world.without_node) == ([], set())


# Any cluster


ZONES = ("a", "b")
choices: st.SearchStrategy[Json] = st.one_of(
    st.just({}),
    st.just({}),
    st.sampled_from([on(f"n{number}") for number in range(5)]),
    st.sampled_from([{"nodeSelector": {"zone": zone}} for zone in (*ZONES, "c")]),
    st.sampled_from([required(matchExpressions=[{"key": "zone", "operator": "NotIn", "values": ["a"]}])]),
)


class Cluster:
    """Nodes with room for some pods each, and pods that may run on some of them by themselves."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.world = group(data.draw(st.integers(1, 5)), maxParallel=data.draw(st.integers(1, 3)))
        self.room = {name: data.draw(st.integers(0, 2)) for name in self.world.nodes}
        for node in self.world.nodes.values():
            node["metadata"]["labels"]["zone"] = data.draw(st.sampled_from(ZONES))
        self.own: dict[str, Json] = {}
        """What each pod said of nodes before its gate was removed."""

    def add_pods(self, most: int) -> None:
        for _ in range(self.data.draw(st.integers(0, most))):
            (name,) = add_pods(self.world, 1)
            self.world.pods[name]["spec"] |= self.data.draw(choices)
            self.own[name] = deepcopy(self.world.pods[name]["spec"])
        self.world.settle()

    def gated(self) -> list[str]:
        return [name for name in self.own if _is_gated(self.world.pods[name])]

    def looking(self) -> list[str]:
        pods = self.world.pods
        return [name for name in self.own if not _is_gated(pods[name]) and not pods[name]["spec"].get("nodeName")]

    def complete(self) -> set[str]:
        return {copy.node.name for copy in look(self.world).each if copy.state == "complete"}

    def free(self) -> set[str]:
        return self.complete() - {self.world.pods[pod]["spec"].get("nodeName") for pod in self.own}

    def matching(self, spec: Json, nodes: set[str]) -> set[str]:
        return {name for name in nodes if may_run_pod(spec, self.world.nodes[name])}

    def places(self, pods: list[str]) -> int:
        """How many of them can have a free copy each."""
        free, taken = self.free(), dict[str, str]()

        def place(pod: str, tried: set[str]) -> bool:
            for node in self.matching(self.world.pods[pod]["spec"], free) - tried:
                tried.add(node)
                if node not in taken or place(taken[node], tried):
                    taken[node] = pod
                    return True
            return False

        return sum(place(pod, set()) for pod in pods)

    def schedule(self, pod: str) -> None:
        spec = self.world.pods[pod]["spec"]
        if fitting := sorted(name for name in self.matching(spec, set(self.room)) if self.room[name]):
            self.room[fitting[0]] -= 1
            spec["nodeName"] = fitting[0]

    def check(self, looked: list[str]) -> None:
        """``looked``: pods that looked for a node before the decision."""
        complete, free, looking = self.complete(), self.free(), self.looking()
        coming = {copy.node.name for copy in look(self.world).each if copy.state in ("missing", "syncing")}
        others_come = {pod for pod in self.own if self.matching(self.own[pod], coming)}
        for pod in looking:
            assert self.matching(self.world.pods[pod]["spec"], complete), "no pod is led to where no copy is"
        limited = [pod for pod in looking if pod in others_come and pod not in looked]
        rest = [pod for pod in looking if pod not in limited]
        assert self.places(looking) == self.places(rest) + len(limited), "each has a place of its own"
        for pod in self.gated():
            assert pod in others_come or not self.matching(self.own[pod], complete), "what can run is not held"
            for node in self.matching(self.own[pod], free):
                assert any(self.matching(self.world.pods[each]["spec"], {node}) for each in looking)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_pod_starves_and_none_is_bound_to_full_nodes_beyond_the_rule(data: st.DataObject) -> None:
    """Pods that come at any time, and copies that succeed or fail in any order."""
    cluster = Cluster(data)
    world = cluster.world
    cluster.add_pods(6)
    while syncing := world.syncing():
        looked = cluster.looking()
        node = data.draw(st.sampled_from(syncing))
        good = node == "n0" or data.draw(st.booleans())
        world.sync_copy(node, report(node) if good else "", code=0 if good else 1)
        cluster.check(looked)
        looked = cluster.looking()
        cluster.add_pods(1)
        cluster.check(looked)
        for pod in data.draw(st.lists(st.sampled_from(cluster.looking()), unique=True)) if cluster.looking() else ():
            looked = cluster.looking()
            cluster.schedule(pod)
            world.settle()
            cluster.check(looked)
    for pod in cluster.looking():
        cluster.schedule(pod)
    assert len(set(world.opened)) == len(world.opened), "each gate is removed once"
    complete = cluster.complete()
    for pod in cluster.gated():
        assert not cluster.matching(cluster.own[pod], complete), "no other copy is to come"
    for pod in cluster.looking():
        room = {name for name, left in cluster.room.items() if left}
        assert not cluster.matching(world.pods[pod]["spec"], room), "what could run does"


def _is_gated(raw: Json) -> bool:
    return any(gate["name"] == names.GATE for gate in raw["spec"].get("schedulingGates", ()))
