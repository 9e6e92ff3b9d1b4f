"""Which nodes have a copy, and what becomes of it when they come, go and change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.copies import GPU, TOLERATED, figures, fill, group, report, states
from support.pure_cluster import PureCluster

NODES: dict[str, tuple[Callable[[PureCluster], object], int]] = {
    "a node of another pool has no copy": (lambda world: world.add_node("x", {"pool": "cpu"}), 3),
    "a node that joins the pool gets one": (lambda world: world.add_node("x", {"pool": "gpu"}), 4),
    "a taint that is not tolerated keeps it away": (
        lambda world: world.add_node("x", {"pool": "gpu"}, ({"key": "db", "effect": "NoSchedule"},)),
        3,
    ),
    "a taint that is tolerated does not": (lambda world: world.add_node("x", {"pool": "gpu"}, (GPU,)), 4),
    "a taint that only prefers does not": (
        lambda world: world.add_node("x", {"pool": "gpu"}, ({"key": "db", "effect": "PreferNoSchedule"},)),
        4,
    ),
    "a node that is not ready is one of them": (lambda world: world.set_ready("n1", False), 3),
    "a node that is gone is not": (lambda world: world.nodes.pop("n1"), 2),
}


@pytest.mark.parametrize(("change", "total"), NODES.values(), ids=NODES)
def test_the_group(change: Callable[[PureCluster], object], total: int) -> None:
    world = group(0, nodeSelector={"pool": "gpu"}, tolerations=[TOLERATED])
    for number in range(3):
        world.add_node(f"n{number}", {"pool": "gpu"})
    change(world)
    world.settle()
    assert figures(world) == f"0/{total}"


def _not_ready(world: PureCluster) -> None:
    world.set_ready("n1", False)


def _cordoned(world: PureCluster) -> None:
    world.nodes["n1"]["spec"]["unschedulable"] = True


def _under_pressure(world: PureCluster) -> None:
    world.nodes["n1"]["spec"]["taints"] = [{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]


@pytest.mark.parametrize("hinder", [_not_ready, _cordoned, _under_pressure])
def test_a_node_on_which_no_pod_can_start_gets_no_job_and_keeps_its_proof(
    hinder: Callable[[PureCluster], None],
) -> None:
    world = group(2)
    hinder(world)
    world.sync_copy("n0", report("n0"))
    assert (world.syncing(), states(world)) == ([], {"n1": "unavailable"})
    assert world.condition("Reconciling")["status"] == "False", "it may never come back"
    world.nodes["n1"]["spec"] = {}
    world.set_ready("n1")
    world.settle()
    fill(world)
    assert figures(world) == "2/2"
    hinder(world)
    world.settle()
    assert figures(world) == "2/2"


def test_the_jobs_of_nodes_that_are_gone_or_left_the_group_are_deleted() -> None:
    world = group(0, nodeSelector={"pool": "gpu"}, maxParallel=9)
    for number in range(3):
        world.add_node(f"n{number}", {"pool": "gpu"})
    world.settle()
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == ["n1", "n2"]
    del world.nodes["n1"]
    world.nodes["n2"]["metadata"]["labels"] = {}
    world.settle()
    assert [job for job in world.jobs.values() if "status" not in job] == []
    assert figures(world) == "1/1"


def test_a_node_of_the_same_name_with_another_uid_needs_a_proof_of_its_own() -> None:
    world = fill(group(2))
    world.add_node("n1")
    world.settle()
    assert (figures(world), world.syncing()) == ("1/2", ["n1"])


def test_a_group_without_any_node_is_told() -> None:
    world = group(0)
    assert world.condition("Complete")["reason"] == "NoNodes"
    assert world.status["phase"] == "Pending"


def test_without_the_right_to_see_nodes_the_cache_says_so_and_nothing_is_forgotten() -> None:
    world = fill(group(2))
    world.nodes_refused = "nodes cannot be listed. Give it get, list and watch on nodes"
    before = world.status["sync"]
    world.settle()
    assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Degraded", "NodesForbidden")
    assert world.condition("Stalled")["status"] == "True"
    world.nodes_refused = ""
    world.settle()
    assert (figures(world), world.status["sync"], world.syncing()) == ("2/2", before, [])
