"""Pods with the label that wait for nothing: who is meant, and who is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelcache_operator.core import names
from support.pure_cluster import PureCluster

Change = Callable[[PureCluster], object]


def annotated(key: str, value: str) -> Change:
    return lambda world: world.pods["serve"]["metadata"].update(annotations={key: value})


def with_init(world: PureCluster) -> None:
    world.pods["serve"]["spec"]["initContainers"] = [{"name": names.SYNC_CONTAINER}]


def gated(world: PureCluster) -> None:
    world.pods["serve"]["spec"]["schedulingGates"] = [{"name": names.GATE}]


def of_a_sync_job(world: PureCluster) -> None:
    uid = world.jobs[world.latest]["metadata"]["uid"]
    world.pods["serve"]["metadata"]["ownerReferences"] = [{"uid": uid, "controller": True}]


CASES: dict[str, tuple[Change, bool]] = {
    "the label alone": (lambda _: None, True),
    "the gate of another": (
        lambda world: world.pods["serve"]["spec"].update(schedulingGates=[{"name": "other.example/gate"}]),
        True,
    ),
    "another annotation": (annotated("team", "a"), True),
    "it wants to be joined": (annotated(names.INJECT_ANNOTATION, "true"), True),
    "our gate": (gated, False),
    "the gate was removed": (annotated(names.OPENED_ANNOTATION, "2026-11-23T01:00:00.000000Z"), False),
    "an init container that verifies": (with_init, False),
    "opted out": (annotated(names.INJECT_ANNOTATION, "false"), False),
    "it has ended": (lambda world: world.pods["serve"]["status"].update(phase="Succeeded"), False),
    "it is being deleted": (
        lambda world: world.pods["serve"]["metadata"].update(deletionTimestamp="2026-11-23T01:00:00Z"),
        False,
    ),
    "a pod of a sync Job": (of_a_sync_job, False),
}


@pytest.mark.parametrize("claim", ["models", "other"], ids=["on the claim", "on another claim"])
@pytest.mark.parametrize(("change", "stray"), CASES.values(), ids=CASES)
def test_a_pod_that_waits_for_nothing_is_named(world: PureCluster, change: Change, stray: bool, claim: str) -> None:
    world.settle()
    world.add_pod("serve", init=False, claim=claim)
    change(world)
    decision = world.settle()
    assert [pod.name for pod in decision.notify_strays] == (["serve"] if stray else [])
    reasons = [each["reason"] for each in world.status["conditions"] if each["type"] == "PodsHeld"]
    assert reasons == (["NotJoined"] if stray else [])


def test_several_are_counted(ready: PureCluster) -> None:
    for name in ("b", "a", "c"):
        ready.add_pod(name, init=False)
    ready.settle()
    assert ready.condition("PodsHeld")["message"].startswith("pod a and 2 more: has the label")
    assert ready.status["phase"] == "Ready", "that hinders nobody else"
