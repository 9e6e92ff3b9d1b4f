"""A copy on every node: which nodes, in which order, what proves a copy and what speaks against it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names, timestamps
from modelcache_operator.core.copy_proof import NOT_STARTED_S
from modelcache_operator.core.reconcile import reconcile
from modelcache_operator.core.status import to_json
from support.copies import DIGEST, fill, group, report
from support.podsecurity import restricted_problems
from support.pure_cluster import PureCluster
from support.reports import COMMIT, incomplete

Json = dict[str, Any]
GPU = {"key": "nvidia.com/gpu", "effect": "NoSchedule", "value": "present"}
TOLERATED = {"key": "nvidia.com/gpu", "operator": "Exists"}


def figures(world: PureCluster) -> str:
    return str(world.status["summary"]["nodes"])


def phase(world: PureCluster) -> str:
    return str(world.status["phase"])


def states(world: PureCluster) -> dict[str, str]:
    return {each["node"]: each["state"] for each in world.status.get("copies", ())}


def arguments(world: PureCluster, job: str) -> list[str]:
    found: list[str] = world.jobs[job]["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


# Order


def test_the_first_copy_is_synced_alone_then_at_most_max_parallel_at_once() -> None:
    world = group(5)
    assert world.syncing() == ["n0"]
    assert (world.status["phase"], figures(world)) == ("Pending", "0/5")
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == ["n1", "n2"]
    world.sync_copy("n2", report("n2"))
    assert world.syncing() == ["n1", "n3"]
    fill(world)
    assert (figures(world), world.syncing()) == ("5/5", [])


def test_pods_can_start_with_the_first_copy_while_the_others_are_reconciled() -> None:
    world = group(3)
    world.sync_copy("n0", report("n0"))
    assert world.status["phase"] == "Ready"
    said = {kind: world.condition(kind)["status"] for kind in ("Complete", "Ready", "Reconciling", "Stalled")}
    assert said == {"Complete": "True", "Ready": "True", "Reconciling": "True", "Stalled": "False"}
    assert world.status["message"] == "1 of 3 nodes have a complete copy"
    assert world.condition("Reconciling")["reason"] == "CopiesMissing"
    assert world.condition("Syncing")["message"] == "2 of 3 nodes sync their copy"
    fill(world)
    assert world.condition("Reconciling")["status"] == "False"


def test_all_at_once_if_the_manifest_says_so() -> None:
    world = group(5, maxParallel=10)
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == ["n1", "n2", "n3", "n4"]


def lower_the_limit(world: PureCluster) -> None:
    for job in map(world.job_of, world.syncing()):
        world.start(world.add_pod(f"{job}-p", job))
    world.change_spec(volume={"claimName": "models", "perNode": {"maxParallel": 1}})


def lose_nodes_for_a_while(world: PureCluster) -> None:
    for ready in (False, True):
        for node in ("n1", "n2"):
            world.set_ready(node, ready)
        world.settle()


def ask_for_a_resync(world: PureCluster) -> None:
    world.annotate("now")


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        pytest.param(lower_the_limit, 2, id="the limit is lowered"),
        pytest.param(lose_nodes_for_a_while, 4, id="nodes come back with their Jobs"),
        pytest.param(ask_for_a_resync, 2, id="a resync is asked for"),
    ],
)
def test_with_as_many_jobs_as_are_allowed_no_other_starts(change: Callable[[PureCluster], object], jobs: int) -> None:
    world = group(9, maxParallel=2)
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == ["n1", "n2"]
    change(world)
    world.settle()
    assert len(world.syncing()) == jobs


def test_others_get_the_pins_of_the_first_as_a_file_of_their_job() -> None:
    world = group(2)
    first = world.job_of("n0")
    assert "--pins" not in arguments(world, first)
    world.sync_copy("n0", report("n0"))
    job = world.jobs[world.job_of("n1")]["spec"]["template"]
    assert arguments(world, world.job_of("n1"))[-2:] == ["--pins", "/etc/modelcache/pins.json"]
    pins = json.loads(job["metadata"]["annotations"][names.PINS_ANNOTATION])
    assert pins == {"models": [{"name": "base", "commit": COMMIT, "digest": DIGEST}]}
    (manifest,) = [each for each in job["spec"]["volumes"] if each["name"] == "manifest"]
    assert [*map(list, manifest["projected"]["sources"])] == [["configMap"], ["downwardAPI"]]
    assert restricted_problems(job["spec"]) == []


def test_a_pod_beside_the_job_that_claims_another_commit_pins_nobody() -> None:
    world = group(2)
    forged = world.add_pod("forged", world.job_of("n0"))
    other = report("n0", manifest=world.digest)
    other["models"][0] |= {"commit": "f" * 40, "digest": f"sha256:{'6' * 64}"}
    world.finish(forged, 0, other)
    world.sync_copy("n0", report("n0"))
    assert "--pins" not in arguments(world, world.job_of("n1"))


def test_a_job_is_bound_to_its_node_by_the_scheduler_and_tolerates_what_the_group_does() -> None:
    world = PureCluster(
        volume={"claimName": "models", "perNode": {"tolerations": [TOLERATED]}},
        sync={"job": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "x"}]}},
    )
    world.add_node("n0", taints=(GPU,))
    world.settle()
    pod = world.jobs[world.job_of("n0")]["spec"]["template"]["spec"]
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n0"]}]}
    assert "nodeSelector" not in pod
    assert pod["tolerations"] == [{"key": "x"}, TOLERATED]


@pytest.mark.parametrize("cache", ["a", "a" * 40, "a" * 63])
def test_names_of_jobs_fit_and_differ_by_node_and_attempt(cache: str) -> None:
    found = {names.copy_job_name(cache, f"uid-{node}", attempt) for node in range(1000) for attempt in (1, 99999)}
    assert len(found) == 2000
    assert max(map(len, found)) <= 63


def test_with_peers_the_others_wait_until_the_first_copy_is_served_or_a_minute_has_passed() -> None:
    world = group(3, peers=True)
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == []
    assert world.peer is not None
    (term,) = world.peer["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"][0]["values"] == ["n0"]
    world.peer["status"] = {"podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]}
    world.settle()
    assert world.syncing() == ["n1", "n2"]
    variables = world.jobs[world.job_of("n2")]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variables[0]["value"] == "http://cache-peers.default.svc:9465"


def test_a_peer_server_that_never_starts_costs_a_minute() -> None:
    world = group(3, peers=True)
    world.sync_copy("n0", report("n0"))
    assert world.decide().wake_at == pytest.approx(world.now + 60, abs=1)
    world.now += 61
    world.settle()
    assert world.syncing() == ["n1", "n2"]


# Nodes


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


def test_a_job_on_a_node_that_got_lost_holds_up_no_other() -> None:
    world = group(3)
    world.set_ready("n0", False)
    world.settle()
    assert world.syncing() == ["n0", "n1"]


def test_a_job_that_cannot_be_scheduled_holds_up_no_other_and_is_named() -> None:
    world = group(3)
    pod = world.add_pod("p", world.job_of("n0"))
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    world.pods[pod]["status"]["conditions"] = [condition]
    world.settle()
    assert world.syncing() == ["n0", "n1"]
    assert "Insufficient cpu" in world.status["copies"][0]["message"]


def test_a_job_whose_pod_does_not_start_holds_up_neither_copies_nor_pods_and_is_named() -> None:
    """The directory is missing on the node: the kubelet says so in an Event, and nowhere else."""
    world = group(3, maxParallel=1)
    world.sync_copy("n0", report("n0"))
    pod = world.add_pod("p", world.job_of("n1"))
    world.pods[pod]["spec"]["nodeName"] = "n1"
    world.wait(pod, "ContainerCreating")
    world.settle()
    assert (world.syncing(), states(world)) == (["n1"], {"n1": "syncing", "n2": "missing"})
    world.now += NOT_STARTED_S
    world.settle()
    assert world.syncing() == ["n1", "n2"]
    world.sync_copy("n2", report("n2"))
    (found,) = world.status["copies"]
    assert (found["state"], found["reason"]) == ("failed", "PodStarting")
    assert "directory missing there? See its Events" in found["message"]
    assert world.status["nodes"] == {"total": 3, "complete": 2, "syncing": 0, "failed": 1}
    world.start(pod)
    world.settle()
    assert states(world) == {"n1": "syncing"}
    assert "reason" not in world.status["copies"][0], "what held it up is over"


NO_ROOM = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}


def test_a_job_that_cannot_be_scheduled_is_failed_after_two_minutes_and_syncing_once_it_is_placed() -> None:
    world = group(2)
    world.sync_copy("n0", report("n0"))
    pods = [world.add_pod(f"serve-{number}", gated=True) for number in range(2)]
    pod = world.add_pod("p", world.job_of("n1"))
    world.pods[pod]["status"]["conditions"] = [NO_ROOM]
    world.settle()
    assert (states(world), world.opened) == ({"n1": "syncing"}, pods[:1])
    world.now += 6
    assert world.decide().wake_at == world.now - 6 + NOT_STARTED_S
    world.now += NOT_STARTED_S - 6
    world.settle()
    assert (states(world), world.opened) == ({"n1": "failed"}, pods)
    assert world.status["copies"][0]["reason"] == "Unschedulable"
    assert "Insufficient cpu" in world.status["message"]
    placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamps.stamp(world.now)}
    world.pods[pod]["status"]["conditions"] = [placed]
    world.pods[pod]["spec"]["nodeName"] = "n1"
    world.settle()
    assert states(world) == {"n1": "syncing"}
    world.now += NOT_STARTED_S
    world.settle()
    assert states(world) == {"n1": "failed"}, "it does not start there"


@pytest.mark.parametrize(("suspended", "reason"), [(False, "JobWithoutPod"), (True, "JobSuspended")])
def test_a_job_without_a_pod_is_failed_after_two_minutes(suspended: bool, reason: str) -> None:
    world = group(3, maxParallel=1)
    pods = [world.add_pod(f"serve-{number}", gated=True) for number in range(2)]
    world.sync_copy("n0", report("n0"))
    assert world.opened == pods[:1]
    job = world.job_of("n1")
    world.jobs[job]["spec"]["suspend"] = suspended
    world.now += NOT_STARTED_S
    world.settle()
    assert world.syncing() == ["n1"], "others would get no pod either, and all run at once when the quota is raised"
    assert [(each["state"], each["reason"]) for each in world.status["copies"]] == [("failed", reason)] * 2
    assert world.opened == pods, "no pod waits for them"
    world.start(world.add_pod("p", job))
    world.settle()
    assert states(world) == {"n1": "syncing", "n2": "missing"}
    assert "reason" not in str(world.status["copies"])


def test_a_resync_that_cannot_start_takes_no_copy_away() -> None:
    world = fill(group(2))
    world.annotate("now")
    world.settle()
    world.pods[world.add_pod("p", world.job_of("n0"))]["status"]["conditions"] = [NO_ROOM]
    world.settle()
    assert "n0" not in states(world)


def test_a_job_that_is_refused_takes_nothing_from_the_copies_that_are_complete() -> None:
    world = group(2)
    pods = [world.add_pod(f"serve-{number}", gated=True) for number in range(3)]
    world.sync_copy("n0", report("n0"))
    world.forget_job(world.job_of("n1"))
    world.refused = "the API refuses Job cache-sync-2: exceeded quota"
    world.settle(act=False)
    assert (phase(world), figures(world), states(world)) == ("Ready", "1/2", {"n1": "failed"})
    assert "exceeded quota" in world.condition("Complete")["message"]
    assert world.status["copies"][0]["reason"] == "Refused"
    assert world.decide().remove_gates.pods, "the others are not waited for"
    world.refused = ""
    world.settle()
    assert (states(world), set(world.opened)) == ({"n1": "syncing"}, set(pods[:1]))
    assert "exceeded quota" not in str(world.status)


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


def test_a_node_that_comes_back_with_another_disk_is_synced_again() -> None:
    world = fill(group(2))
    world.now += 100
    pod = world.add_pod("serve")
    world.pods[pod]["spec"]["nodeName"] = "n1"
    world.finish(pod, 0, report("n7"))
    world.settle()
    assert (figures(world), world.syncing()) == ("1/2", ["n1"])
    world.sync_copy("n1", report("n7"))
    assert figures(world) == "2/2", "what the pod said before the sync is over"


def test_damage_that_a_pod_finds_is_that_of_its_node_alone() -> None:
    world = fill(group(2))
    world.now += 100
    pod = world.add_pod("serve")
    world.pods[pod]["spec"]["nodeName"] = "n1"
    world.finish(pod, 1, incomplete(Reason.SIZE_MISMATCH, "a is too short"))
    world.settle()
    assert (figures(world), world.syncing()) == ("1/2", ["n1"])
    assert world.status["phase"] == "Ready"
    assert "a is too short" in world.status["copies"][0]["message"]


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


# Failures


def test_a_copy_that_failed_is_tried_again_with_growing_delays_and_holds_up_no_other() -> None:
    world = group(3, maxParallel=1)
    world.sync_copy("n0", report("n0"))
    delays = []
    for _ in range(3):
        world.sync_copy("n1", incomplete(Reason.DISK_FULL, "no room"), code=1)
        ended = world.now
        if world.job_of("n2"):
            world.sync_copy("n2", report("n2"))
        assert (states(world), figures(world)) == ({"n1": "failed"}, "2/3")
        assert "no room" in world.status["message"]
        while not world.job_of("n1"):
            world.now = world.decide().wake_at or world.now
            world.settle()
        delays.append(round(world.now - ended))
    assert delays == [10, 20, 40]
    world.sync_copy("n1", report("n1"))
    assert figures(world) == "3/3"


def test_while_no_copy_is_complete_another_node_is_tried_but_not_at_once() -> None:
    """A hub that refuses would be asked by a thousand nodes."""
    world = group(3)
    world.sync_copy("n0", incomplete(Reason.GATED_REPO, "401"), code=1)
    assert (world.syncing(), world.status["phase"]) == ([], "Failed")
    world.now += 11
    world.settle()
    assert world.syncing() == ["n1"]
    world.sync_copy("n1", incomplete(Reason.GATED_REPO, "401"), code=1)
    world.now += 11
    world.settle()
    assert world.syncing() == []
    world.now += 10
    world.settle()
    assert world.syncing() == ["n2"]


def test_a_change_of_the_manifest_ends_the_waiting() -> None:
    world = group(1)
    world.sync_copy("n0", incomplete(Reason.GATED_REPO, "401"), code=1)
    world.change_spec(auth={"secretName": "token"})
    world.settle()
    assert world.syncing() == ["n0"]


def test_the_end_of_a_job_waits_a_moment_for_the_word_of_its_pod() -> None:
    world = group(1)
    job = world.job_of("n0")
    world.end_job(job, "Complete")
    world.settle()
    assert figures(world) == "0/1"
    world.now = world.decide().wake_at or 0.0
    world.settle()
    assert figures(world) == "1/1"


# Content, claim and volume


def test_a_resync_moves_the_first_copy_and_then_the_others() -> None:
    world = fill(group(3))
    world.now += 100
    world.annotate("now")
    world.settle()
    assert world.syncing() == ["n0"]
    assert (figures(world), world.status["phase"]) == ("2/3", "Ready")
    lead = world.job_of("n0")
    assert "--refresh" in arguments(world, lead)
    assert "--pins" not in arguments(world, lead)
    moved = report("n0")
    moved["models"][0]["commit"] = "f" * 40
    world.sync_copy("n0", moved)
    assert (world.syncing(), figures(world)) == (["n1", "n2"], "1/3")
    assert world.status["summary"]["commit"] == "f" * 40
    follower = arguments(world, world.job_of("n1"))
    assert {"--pins", "--refresh"} <= set(follower)
    fill(world)
    assert (figures(world), world.syncing()) == ("3/3", [])


def test_a_resync_that_fails_costs_one_copy_and_no_more() -> None:
    world = fill(group(3))
    world.now += 100
    world.annotate("now")
    world.settle()
    world.sync_copy("n0", incomplete(Reason.HUB_UNREACHABLE, "the hub is away"), code=1)
    assert (figures(world), states(world)) == ("2/3", {"n0": "failed"})
    world.now += 11
    world.settle()
    assert world.syncing() == ["n0"]
    assert "--refresh" not in arguments(world, world.job_of("n0"))
    assert "--pins" in arguments(world, world.job_of("n0"))
    fill(world)
    assert figures(world) == "3/3"


def test_another_content_needs_a_proof_on_every_node_and_operational_fields_need_none() -> None:
    world = fill(group(3))
    world.change_spec(sync={"job": {"resources": {"limits": {"memory": "2Gi"}}}})
    world.settle()
    assert (figures(world), world.syncing()) == ("3/3", [])
    world.change_spec(models=[{"name": "base", "repo": "owner/other", "path": "base"}])
    world.settle()
    assert (figures(world), world.syncing()) == ("0/3", ["n0"])


def test_another_claim_needs_a_proof_on_every_node() -> None:
    world = fill(group(2))
    world.replace_claim()
    world.settle()
    assert (figures(world), world.syncing()) == ("0/2", ["n0"])


def test_one_volume_on_two_nodes_is_not_local() -> None:
    world = group(3)
    world.sync_copy("n0", report("n0"))
    world.sync_copy("n1", report("n0"))
    found = world.condition("VolumeReady")
    assert (found["status"], found["reason"]) == ("False", "NotLocal")
    assert "nodes n0 and n1 have one volume behind claim models" in found["message"]
    assert (world.status["phase"], world.condition("Stalled")["status"]) == ("Degraded", "True")
    world.annotate("emptied")
    world.settle()
    fill(world)
    assert figures(world) == "3/3"
    assert world.condition("VolumeReady")["status"] == "True"


def test_a_node_that_left_the_group_may_give_its_disk_to_another_one() -> None:
    world = group(2)
    world.sync_copy("n0", report("n0"))
    world.nodes["n0"]["spec"]["taints"] = [GPU]
    world.settle()
    world.sync_copy("n1", report("n0"))
    assert (figures(world), world.condition("VolumeReady")["status"]) == ("1/1", "True")


def test_a_claim_for_one_node_is_refused_in_words() -> None:
    world = group(2)
    assert world.claim is not None
    world.claim["spec"] = {"accessModes": ["ReadWriteOnce"]}
    world.settle()
    assert world.condition("Complete")["reason"] == "AccessMode"
    assert "needs ReadWriteMany" in world.status["message"]


def test_a_proof_without_copies_counts_for_no_node_and_copies_count_for_no_single_volume(ready: PureCluster) -> None:
    ready.add_node("n0")
    ready.change_spec(volume={"claimName": "models", "perNode": {}})
    ready.settle()
    assert (figures(ready), ready.syncing()) == ("0/1", ["n0"])
    assert phase(ready) != "Ready"
    fill(ready)
    assert phase(ready) == "Ready"
    ready.change_spec(volume={"claimName": "models"})
    ready.settle()
    assert phase(ready) != "Ready"
    assert "nodes" not in ready.status


def test_when_the_last_copy_is_gone_the_cache_is_degraded_and_says_why() -> None:
    world = fill(group(1))
    world.now += 100
    pod = world.add_pod("serve")
    world.pods[pod]["spec"]["nodeName"] = "n0"
    world.finish(pod, 1, incomplete(Reason.SIZE_MISMATCH, "a is too short"))
    world.settle()
    assert (world.status["phase"], figures(world)) == ("Degraded", "0/1")
    assert "a is too short" in world.status["message"]
    fill(world)
    assert world.status["phase"] == "Ready"


# Size and time


def test_a_thousand_nodes_fit_into_a_status_and_a_decision_takes_a_moment() -> None:
    world = group(0, maxParallel=1000)
    for number in range(1000):
        world.add_node(f"ip-10-0-{number // 250}-{number % 250}.eu-central-1.compute.internal")
    world.settle()
    everybody = list(world.nodes)
    first = world.syncing()[0]
    _end(world, first, 0)
    world.now += 10
    world.settle()
    for number, node in enumerate(everybody):
        if node != first:
            _end(world, node, number + 1, failed=number % 10 == 1)
    world.now += 10
    world.settle()
    assert world.status["nodes"] == {"total": 1000, "complete": 900, "syncing": 0, "failed": 100}
    size = len(json.dumps(world.status, separators=(",", ":")))
    snapshot = world.snapshot()
    took = min(_timed(lambda: reconcile(snapshot, world.now)) for _ in range(5))
    written = min(_timed(lambda: to_json(snapshot.cache.status)) for _ in range(5))
    print(f"status {size} bytes, decision {took * 1000:.1f} ms, its JSON {written * 1000:.1f} ms")
    assert size < 100 * 1024
    assert took < 0.25, "50 ms are aimed at; this machine may be busy"


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _end(world: PureCluster, node: str, number: int, failed: bool = False) -> None:
    job = world.job_of(node)
    pod = world.add_pod(f"{job}-p", job)
    said = incomplete(Reason.DISK_FULL, "no room: 90 GB are missing and 1 GB is free on the volume of this node")
    world.finish(pod, int(failed), said if failed else report(f"n{number}"))
    world.end_job(job, "Failed" if failed else "Complete")
