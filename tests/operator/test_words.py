"""What the status says: reasons, messages and figures."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from support.reports import GIB, complete, incomplete
from support.world import World

TROUBLES: dict[str, tuple[dict[str, Any], str, str]] = {
    "image": (
        {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        "ImagePullFailed",
        "no such image",
    ),
    "secret": (
        {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hf-token" not found'}},
        "ContainerConfigError",
        "hf-token",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_keeps_the_pod_from_starting_is_said_in_words(world: World, trouble: str) -> None:
    state, reason, text = TROUBLES[trouble]
    world.settle()
    world.set_state(world.add_pod("p", world.latest), state)
    world.settle()
    assert world.status["phase"] == "Pending"
    assert world.condition("Complete")["reason"] == reason
    assert text in world.status["message"]


def test_a_pod_that_cannot_be_scheduled_is_said_in_words(world: World) -> None:
    world.settle()
    pod = world.add_pod("p", world.latest)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
    world.pods[pod]["status"]["conditions"] = [condition]
    world.settle()
    assert world.condition("Complete")["reason"] == "Unschedulable"
    assert "0/3 nodes fit" in world.status["message"]


def test_a_pod_killed_for_memory_is_said_in_words(world: World) -> None:
    world.settle()
    pod = world.add_pod("p", world.latest, resources={"limits": {"memory": "1Gi"}})
    world.finish(pod, 137, "", "OOMKilled")
    world.settle()
    assert world.condition("Complete")["reason"] == "OOMKilled"
    assert "memory limit of 1Gi. Raise spec.sync.job.resources.limits.memory" in world.status["message"]


def test_the_reason_of_a_failure_stays_when_the_pod_is_gone(world: World) -> None:
    world.settle()
    world.sync_badly(2, incomplete(Reason.GATED_REPO, "accept the license"), "PodFailurePolicy")
    world.pods.clear()
    world.settle()
    assert world.condition("Complete")["reason"] == "GatedRepo"
    assert "accept the license" in world.status["message"]


def test_progress_is_shown_while_a_sync_runs_and_gone_afterwards(world: World) -> None:
    world.settle()
    pod = world.add_pod("p", world.latest)
    world.start(pod)
    world.tell_progress(pod, {**incomplete(None, fetched=5), "bytesPerSecond": 310 << 20, "etaSeconds": 9})
    world.settle()
    assert world.status["summary"] == {
        "models": "0/1",
        "progress": "50%",
        "size": "1.0Gi",
        "rate": "310Mi/s",
        "commit": "0123456",
    }
    assert world.status["etaSeconds"] == 9
    world.finish(pod, 0, complete())
    world.end_job(world.latest, "Complete")
    world.settle()
    assert world.status["summary"]["rate"] == ""
    assert "etaSeconds" not in world.status


def test_a_report_that_lost_its_models_to_the_size_limit_still_counts_them(world: World) -> None:
    models = [{"name": each, "repo": "owner/small", "path": each} for each in ("a", "b")]
    world = World(models=models)
    world.settle()
    report = complete("cache", "a", "b")
    world.sync_well({**report, "models": report["models"][:1]})
    assert world.status["summary"]["models"] == "2/2"
    assert world.status["bytesTotal"] == 2 * GIB


def test_a_conditions_time_changes_only_with_its_status(ready: World) -> None:
    before = ready.condition("Complete")["lastTransitionTime"]
    ready.now += 1000
    ready.settle()
    assert ready.condition("Complete")["lastTransitionTime"] == before


def test_nothing_is_written_when_nothing_changed(ready: World) -> None:
    before = ready.status
    ready.now += 1000
    assert {key: value for key, value in ready.decide().status.to_json().items() if value is not None} == before
