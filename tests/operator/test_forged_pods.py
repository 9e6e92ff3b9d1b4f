"""Pods that name a sync Job as their owner, which is free text, change nothing that the Job's condition says."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from modelcache_operator.core.proof import job_pods_stale
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

OTHER = f"sha256:{'0' * 64}"
VOLUME, FORGED_VOLUME = "1" * 32, "f" * 32


def forge(world: PureCluster, name: str = "forged") -> str:
    """With all that can be copied from a pod of the newest Job."""
    pod = world.add_pod(name, world.latest)
    uid = world.jobs[world.latest]["metadata"]["uid"]
    labels = {"batch.kubernetes.io/controller-uid": uid, names.ATTEMPT_LABEL: "1", names.GENERATION_LABEL: "1"}
    world.pods[pod]["metadata"]["labels"] |= labels
    world.pods[pod]["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"]
    return pod


@pytest.mark.parametrize("code", [0, 1, 2, 137])
@pytest.mark.parametrize("real", ["reports damage", "reports nothing", "is gone"])
def test_a_failed_resync_takes_the_proof_back_whatever_a_forged_pod_says(
    world: PureCluster, real: str, code: int
) -> None:
    world.settle()
    world.sync_well(complete(manifest=world.digest, volumeId=VOLUME))
    world.now += 100
    world.annotate("again")
    world.settle()
    if real != "is gone":
        said = incomplete(Reason.SIZE_MISMATCH, "too short") if real == "reports damage" else ""
        world.finish(world.add_pod("real", world.latest), 1, said)
    world.now += 3
    world.finish(forge(world), code, complete(manifest=world.digest, volumeId=VOLUME))
    world.end_job(world.latest, "Failed", "BackoffLimitExceeded")
    world.add_pod("gpu", gated=True)
    world.settle()
    assert (world.status["phase"], world.opened) == ("Degraded", [])


@pytest.mark.parametrize("enabled_again", [False, True])
def test_a_workload_that_reports_complete_takes_no_failed_job_back(ready: PureCluster, enabled_again: bool) -> None:
    ready.annotate("again")
    ready.settle()
    ready.sync_badly(1, incomplete(Reason.CHECKSUM_MISMATCH, "wrong"))
    if enabled_again:
        ready.change_spec(sync={"job": {"nodeSelector": {"disk": "ssd"}}})
    ready.now += 5
    ready.finish(ready.add_pod("liar"), 0, complete(manifest=ready.digest))
    ready.settle(act=False)
    assert ready.status["phase"] == "Degraded"


def test_failed_stays_failed_while_a_forged_pod_reports_progress(world: PureCluster) -> None:
    world.settle()
    world.sync_badly(2, incomplete(Reason.REPO_NOT_FOUND, "no such repository"))
    pod = forge(world)
    world.start(pod)
    world.tell_progress(pod, incomplete(None, fetched=1 << 30))
    world.settle()
    assert (world.status["phase"], world.condition("Syncing")["status"]) == ("Failed", "False")


def test_a_failed_job_of_an_older_spec_does_not_count_while_a_forged_pod_runs(world: PureCluster) -> None:
    world.settle()
    world.sync_badly(1, incomplete(Reason.HUB_UNREACHABLE, "down"))
    world.start(forge(world))
    world.change_spec(sync={"job": {"env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]}})
    world.settle()
    assert world.latest == "cache-sync-2"


@pytest.mark.parametrize(
    ("code", "report"),
    [
        (0, complete(manifest=OTHER)),
        (0, complete(manifest=OTHER, volumeId=FORGED_VOLUME)),
        (1, incomplete(Reason.CHECKSUM_MISMATCH, "wrong")),
        (2, incomplete(Reason.GATED_REPO, "ask for access", manifest=OTHER)),
        (137, "Killed"),
    ],
    ids=["other manifest", "other volume", "damage", "no retry", "no report"],
)
@pytest.mark.parametrize("order", ["before", "after"])
def test_good_jobs_end_ready_whatever_forged_pods_say(
    world: PureCluster, order: str, code: int, report: object
) -> None:
    said = report if isinstance(report, str | dict) else ""
    world.settle()
    for number in range(3):
        world.now += 700
        if number:
            world.annotate(str(number))
            world.settle()
        pods = [(forge(world, f"forged-{number}"), code, said)]
        good = complete(manifest=world.digest, volumeId=VOLUME)
        pods.insert(0 if order == "after" else 1, (world.add_pod(f"real-{number}", world.latest), 0, good))
        for pod, exit_code, text in pods:
            world.finish(pod, exit_code, text)
            world.now += 2
        world.end_job(world.latest, "Complete")
        world.settle()
        assert world.status["phase"] == "Ready"
        assert world.status["sync"]["volumeId"] == VOLUME


def test_reports_that_disagree_about_the_volume_name_none(world: PureCluster) -> None:
    """Else the pods that mount the true one would be taken for ones on another."""
    world.settle()
    for name, volume in (("real", VOLUME), ("forged", FORGED_VOLUME)):
        world.finish(world.add_pod(name, world.latest), 0, complete(manifest=world.digest, volumeId=volume))
    world.end_job(world.latest, "Complete")
    world.settle()
    world.now += 5
    world.finish(world.add_pod("serve"), 0, complete(manifest=world.digest, volumeId=VOLUME))
    world.settle()
    assert (world.status["phase"], world.status["sync"].get("volumeId")) == ("Ready", None)


def test_the_job_s_own_pod_is_asked_for_where_only_a_forged_end_was_seen(world: PureCluster) -> None:
    world.settle()
    world.finish(forge(world), 0, complete(manifest=OTHER))
    world.end_job(world.latest, "Complete")
    assert job_pods_stale(world.snapshot())
    world.finish(world.add_pod("real", world.latest), 0, complete(manifest=world.digest))
    assert not job_pods_stale(world.snapshot())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"kind": "Pod"}, id="another kind"),
        pytest.param({"apiVersion": "example.org/v1"}, id="a kind of that name in another group"),
        pytest.param({"uid": "another"}, id="another cache"),
        pytest.param({"controller": False}, id="not its controller"),
    ],
)
def test_a_job_that_no_policy_can_know_as_the_cache_s_is_not_believed(
    world: PureCluster, change: dict[str, Any]
) -> None:
    """The policy for sync Jobs looks for owners that are ModelCaches."""
    world.settle()
    forged = copy.deepcopy(world.jobs[world.latest])
    forged["metadata"] |= {"name": "forged", "uid": "forged"}
    forged["metadata"]["labels"][names.ATTEMPT_LABEL] = "7"
    forged["metadata"]["ownerReferences"][0] |= change
    world.jobs["forged"] = forged
    world.end_job("forged", "Complete")
    world.settle()
    assert world.status["phase"] == "Pending"
