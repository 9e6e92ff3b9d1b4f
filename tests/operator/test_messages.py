"""What the status says: reasons, messages and figures."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core.status import to_json
from support.pure_cluster import PureCluster
from support.reports import GIB, complete, incomplete

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
def test_what_keeps_the_pod_from_starting_is_said_in_words(world: PureCluster, trouble: str) -> None:
    state, reason, text = TROUBLES[trouble]
    world.settle()
    world.set_state(world.add_pod("p", world.latest), state)
    world.settle()
    assert world.status["phase"] == "Pending"
    assert world.condition("Complete")["reason"] == reason
    assert text in world.status["message"]


def test_a_pod_that_cannot_be_scheduled_is_said_in_words(world: PureCluster) -> None:
    world.settle()
    pod = world.add_pod("p", world.latest)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
    world.pods[pod]["status"]["conditions"] = [condition]
    world.settle()
    assert world.condition("Complete")["reason"] == "Unschedulable"
    assert "0/3 nodes fit" in world.status["message"]


def test_a_pod_killed_for_memory_is_said_in_words(world: PureCluster) -> None:
    world.settle()
    pod = world.add_pod("p", world.latest, resources={"limits": {"memory": "1Gi"}})
    world.finish(pod, 137, "", "OOMKilled")
    world.settle()
    assert world.condition("Complete")["reason"] == "OOMKilled"
    assert "memory limit of 1Gi. Raise spec.sync.job.resources.limits.memory" in world.status["message"]


def test_the_reason_of_a_failure_stays_when_the_pod_is_gone(world: PureCluster) -> None:
    world.settle()
    world.sync_badly(2, incomplete(Reason.GATED_REPO, "accept the license"), "PodFailurePolicy")
    world.pods.clear()
    world.settle()
    assert world.condition("Complete")["reason"] == "GatedRepo"
    assert "accept the license" in world.status["message"]


def test_progress_is_shown_while_a_sync_runs_and_gone_afterwards(world: PureCluster) -> None:
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
        "eta": "9.0s",
        "commit": "0123456789abcdef0123456789abcdef01234567",
    }
    assert world.status["etaSeconds"] == 9
    world.finish(pod, 0, complete())
    world.end_job(world.latest, "Complete")
    world.settle()
    assert not {"rate", "eta"} & world.status["summary"].keys()
    assert "etaSeconds" not in world.status


def test_what_a_sync_reads_back_is_kept_apart_from_what_it_fetches(world: PureCluster) -> None:
    """So that an alert can tell a sync that hashes for an hour from one that hangs."""
    world.settle()
    pod = world.add_pod("p", world.latest)
    world.start(pod)
    for count in (5, 9):
        world.tell_progress(pod, {**incomplete(None), "bytesVerified": count})
        world.settle()
        assert (world.status["bytesFetched"], world.status["bytesVerified"]) == (0, count)
    world.now += 1
    world.settle()
    assert world.status["bytesVerified"] == 9, "it is remembered"
    world.finish(pod, 0, {**complete(fetched=0), "bytesVerified": 12})
    world.end_job(world.latest, "Complete")
    world.settle()
    assert world.status["bytesVerified"] == 12


def test_a_report_that_lost_its_models_to_the_size_limit_still_counts_them(world: PureCluster) -> None:
    models = [{"name": each, "repo": "owner/small", "path": each} for each in ("a", "b")]
    world = PureCluster(models=models)
    world.settle()
    report = complete("cache", "a", "b")
    world.sync_well({**report, "models": report["models"][:1]})
    assert world.status["summary"]["models"] == "2/2"
    assert world.status["bytesTotal"] == 2 * GIB


def test_a_conditions_time_changes_only_with_its_status(ready: PureCluster) -> None:
    before = ready.condition("Complete")["lastTransitionTime"]
    ready.now += 1000
    ready.settle()
    assert ready.condition("Complete")["lastTransitionTime"] == before


def test_nothing_is_written_when_nothing_changed(ready: PureCluster) -> None:
    before = ready.status
    ready.now += 1000
    assert to_json(ready.decide().status) == before


def test_a_pod_of_a_job_that_is_starting_is_no_pod_that_somebody_has_to_start(world: PureCluster) -> None:
    """The alert on syncs that stall leaves WaitingForPod aside, and a volume may never get mounted."""
    world.settle()
    assert world.condition("Complete")["reason"] == "PodStarting"
    world.wait(world.add_pod("p", world.latest), "ContainerCreating")
    world.settle()
    assert world.condition("Complete")["reason"] == "PodStarting"
    assert "pod p is starting (ContainerCreating)" in world.status["message"]


# Without Jobs: what each pod may wait for in vain

WITHOUT_JOBS: dict[str, Any] = {"job": {"enabled": False}}


def _awaited(world: PureCluster) -> tuple[str, str]:
    world.settle()
    assert world.status["phase"] == "Pending"
    return world.condition("Complete")["reason"], world.status["message"]


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "without the gate"])
def test_without_jobs_a_pod_that_does_not_mount_the_claim_is_named(gated: bool) -> None:
    world = PureCluster(sync=WITHOUT_JOBS)
    pod = world.add_pod("stray", gated=gated, claim="modles")
    if not gated:
        world.finish(pod, 0, complete())
    reason, message = _awaited(world)
    assert reason == "ClaimNotMounted"
    assert "pod stray does not mount claim models" in message


def test_without_jobs_pods_that_all_wait_at_the_gate_are_told_that_nobody_will_come() -> None:
    world = PureCluster(sync=WITHOUT_JOBS)
    for name in ("b", "a", "c"):
        world.add_pod(name, gated=True, init=False)
    reason, message = _awaited(world)
    assert reason == "PodsGated"
    assert "pod a and 2 more wait at the gate" in message


def test_without_jobs_pods_that_synced_an_older_manifest_will_not_sync_this_one() -> None:
    world = PureCluster(sync=WITHOUT_JOBS)
    world.settle()
    world.finish(world.add_pod("old"), 0, complete(manifest=world.digest))
    world.settle()
    assert world.status["phase"] == "Ready"
    world.change_spec(models=[{"name": "base", "repo": "owner/other", "path": "base"}])
    world.add_pod("new", gated=True, init=False)
    reason, message = _awaited(world)
    assert reason == "PodsGated"
    assert "pod new waits" in message


@pytest.mark.parametrize("others", [(), ("held",), ("held", "stray")], ids=len)
def test_without_jobs_one_pod_that_may_still_sync_is_waited_for(others: tuple[str, ...]) -> None:
    world = PureCluster(sync=WITHOUT_JOBS)
    world.wait(world.add_pod("first"), "ContainerCreating")
    for name in others:
        world.add_pod(name, gated=name == "held", claim="other" if name == "stray" else "models")
    reason, message = _awaited(world)
    assert reason == "WaitingForPod"
    assert "no pod has synced this manifest yet" in message


def test_with_jobs_a_pod_that_does_not_mount_the_claim_hinders_nobody(world: PureCluster) -> None:
    world.add_pod("stray", gated=True, claim="other")
    world.settle()
    world.sync_well(complete())
    assert world.status["phase"] == "Ready"
    assert world.opened == ["stray"]
