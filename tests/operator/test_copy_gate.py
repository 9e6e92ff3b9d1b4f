"""Pods of a cache with a copy on every node: how many are ungated, and where they may run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcache_operator.core import names
from modelcache_operator.core.copies import Copies
from modelcache_operator.core.copy_gate import MAX_NAMED, affinity_patch, requirements
from modelcache_operator.core.copy_proof import look_at_copies
from modelcache_operator.core.node_affinity import Requirement, restricted
from modelcache_operator.core.proof import sort_objects
from support.copies import group, report
from support.kubeapi.patches import json_patch
from support.node_selection import REQUIRED, may_run
from support.pure_cluster import PureCluster

Json = dict[str, Any]

# The requirement

KEYS, VALUES = ("zone", "kubernetes.io/hostname", "disk"), ("a", "b", "1", "7")
NODES = [
    (f"node-{number}", {key: value for key, value in zip(KEYS, labels, strict=True) if value})
    for number, labels in enumerate((x, y, z) for x in (*VALUES, "") for y in (*VALUES, "") for z in ("a", "7", ""))
]
values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3)
expressions = st.one_of(
    st.builds(
        lambda k, o, v: {"key": k, "operator": o, "values": v},
        st.sampled_from(KEYS),
        st.sampled_from(["In", "NotIn"]),
        values,
    ),
    st.builds(
        lambda k, o: {"key": k, "operator": o}, st.sampled_from(KEYS), st.sampled_from(["Exists", "DoesNotExist"])
    ),
    st.builds(
        lambda k, o, v: {"key": k, "operator": o, "values": [v]},
        st.sampled_from(KEYS),
        st.sampled_from(["Gt", "Lt"]),
        st.sampled_from(["1", "5"]),
    ),
)
fields = st.builds(
    lambda o, v: {"key": "metadata.name", "operator": o, "values": [v]},
    st.sampled_from(["In", "NotIn"]),
    st.sampled_from([name for name, _ in NODES[:9]]),
)
terms = st.fixed_dictionaries(
    {}, optional={"matchExpressions": st.lists(expressions, max_size=3), "matchFields": st.lists(fields, max_size=1)}
)
affinities = st.fixed_dictionaries(
    {},
    optional={
        "podAffinity": st.just({"any": "thing"}),
        "nodeAffinity": st.fixed_dictionaries(
            {},
            optional={
                REQUIRED: st.fixed_dictionaries({"nodeSelectorTerms": st.lists(terms, min_size=1, max_size=3)}),
                "preferredDuringSchedulingIgnoredDuringExecution": st.just([{"weight": 1}]),
            },
        ),
    },
)
added = st.lists(
    st.builds(Requirement, st.sampled_from(KEYS), st.sampled_from(["In", "NotIn"]), values.map(tuple)),
    min_size=1,
    max_size=2,
)


@settings(max_examples=400)
@given(affinities, added)
def test_a_node_fits_afterwards_if_it_fitted_before_and_fits_the_requirement(
    affinity: Json, requirement: list[Requirement]
) -> None:
    after = restricted(affinity, requirement)
    alone = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [e.json() for e in requirement]}]}}}
    for name, labels in NODES:
        wanted = may_run(affinity, name, labels) and may_run(alone, name, labels)
        assert may_run(after, name, labels) == wanted
    assert {key: each for key, each in after.items() if key != "nodeAffinity"} == {
        key: each for key, each in affinity.items() if key != "nodeAffinity"
    }
    _only_adds(affinity, after)


def _only_adds(before: Json, after: Json) -> None:
    """What the API allows for a gated pod."""
    old = ((before.get("nodeAffinity") or {}).get(REQUIRED) or {}).get("nodeSelectorTerms")
    new = after["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    for was, is_ in zip(old or new, new, strict=True):
        kept = was.get("matchExpressions") or []
        assert (is_.get("matchExpressions") or [])[: len(kept)] == kept
        assert is_.get("matchFields") == was.get("matchFields")


@given(affinities, added)
def test_the_patch_does_the_same_to_the_pod_and_nothing_to_another_version_of_it(
    affinity: Json, requirement: list[Requirement]
) -> None:
    pod: Json = {"metadata": {"resourceVersion": "7"}, "spec": {"affinity": affinity, "containers": []}}
    patch = affinity_patch(pod, tuple(requirement))
    assert json_patch(pod, patch)["spec"]["affinity"] == restricted(affinity, requirement)
    with pytest.raises(Exception, match="test"):
        json_patch({**pod, "metadata": {"resourceVersion": "8"}}, patch)


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


# Any cluster


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_pod_starves_and_none_is_bound_to_full_nodes_beyond_the_rule(data: st.DataObject) -> None:
    """Nodes with room for some pods each, pods that come at any time, and copies that succeed or fail in any order."""
    world = group(data.draw(st.integers(1, 5)), maxParallel=data.draw(st.integers(1, 3)))
    room = {name: data.draw(st.integers(0, 2)) for name in world.nodes}
    add_pods(world, data.draw(st.integers(0, 6)))
    world.settle()
    while syncing := world.syncing():
        before = len(_looking(world))
        node = data.draw(st.sampled_from(syncing))
        good = node == "n0" or data.draw(st.booleans())
        world.sync_copy(node, report(node) if good else "", code=0 if good else 1)
        add_pods(world, data.draw(st.integers(0, 1)))
        world.settle()
        _rule_holds(world, before)
        for pod in data.draw(st.lists(st.sampled_from(_looking(world)), unique=True)) if _looking(world) else ():
            before = len(_looking(world))
            _schedule(world, room, pod)
            world.settle()
            _rule_holds(world, before)
    for pod in _looking(world):
        _schedule(world, room, pod)
    assert len(set(world.opened)) == len(world.opened), "each gate is removed once"
    assert [raw["metadata"]["name"] for raw in _serving(world) if _is_gated(raw)] == [], "no other copy is to come"
    for pod in _looking(world):
        assert _fitting(world, room, pod) == [], "what could run does"


def _rule_holds(world: PureCluster, before: int) -> None:
    """``before``: pods that looked for a node before the decision."""
    copies, looking = look(world), len(_looking(world))
    if copies.settled:
        return
    occupied = {raw["spec"].get("nodeName") for raw in _serving(world)}
    free = {copy.node.name for copy in copies.each if copy.state == "complete"} - occupied
    assert looking <= max(len(free), before)
    if any(_is_gated(raw) for raw in _serving(world)):
        assert looking >= len(free), "a pod that could run is not held"


def _serving(world: PureCluster) -> list[Json]:
    return [raw for name, raw in world.pods.items() if name.startswith("serve")]


def _is_gated(raw: Json) -> bool:
    return any(gate["name"] == names.GATE for gate in raw["spec"].get("schedulingGates", ()))


def _looking(world: PureCluster) -> list[str]:
    return [
        raw["metadata"]["name"] for raw in _serving(world) if not _is_gated(raw) and not raw["spec"].get("nodeName")
    ]


def _fitting(world: PureCluster, room: dict[str, int], pod: str) -> list[str]:
    affinity = world.pods[pod]["spec"].get("affinity")
    return [
        name for name, node in world.nodes.items() if room[name] and may_run(affinity, name, node["metadata"]["labels"])
    ]


def _schedule(world: PureCluster, room: dict[str, int], pod: str) -> None:
    if fitting := _fitting(world, room, pod):
        room[fitting[0]] -= 1
        world.pods[pod]["spec"]["nodeName"] = fitting[0]
