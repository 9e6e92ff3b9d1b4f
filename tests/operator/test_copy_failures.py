"""Copies that fail, and Jobs that do not start: what is tried again when, and what waits for neither."""

from __future__ import annotations

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import timestamps
from modelcache_operator.core.copy_proof import NOT_STARTED_S
from support.copies import figures, fill, group, report, states
from support.reports import incomplete


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


# Jobs that do not start


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
    assert (world.status["phase"], figures(world), states(world)) == ("Ready", "1/2", {"n1": "failed"})
    assert "exceeded quota" in world.condition("Complete")["message"]
    assert world.status["copies"][0]["reason"] == "Refused"
    assert world.decide().remove_gates.pods, "the others are not waited for"
    world.refused = ""
    world.settle()
    assert (states(world), set(world.opened)) == ({"n1": "syncing"}, set(pods[:1]))
    assert "exceeded quota" not in str(world.status)
