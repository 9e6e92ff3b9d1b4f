"""What counts as a proof, and who is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from modelcache_operator.core.proof import is_new_proof, job_pods_stale
from modelcache_operator.core.status import Status, SyncRecord
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

Json = dict[str, Any]
OTHER = f"sha256:{'0' * 64}"


def test_a_job_that_read_another_manifest_proves_nothing(world: PureCluster) -> None:
    world.settle()
    world.sync_well(complete(manifest=OTHER))
    assert world.status["complete"] is False
    assert world.condition("Complete")["reason"] == "ManifestChanged"
    world.now += 11
    world.settle()
    world.sync_well(complete(manifest=world.digest))
    assert world.status["complete"] is True


def test_a_failed_try_in_the_same_second_does_not_hide_that_another_manifest_was_read(world: PureCluster) -> None:
    world.settle()
    for name, code, report in (
        ("first", 1, incomplete(Reason.HUB_UNREACHABLE)),
        ("second", 0, complete(manifest=OTHER)),
    ):
        world.finish(world.add_pod(name, world.latest), code, report)
    world.end_job(world.latest, "Complete")
    world.settle()
    assert world.status["complete"] is False
    assert world.condition("Complete")["reason"] == "ManifestChanged"


@pytest.mark.parametrize(("outcome", "code"), [("Complete", 0), ("Failed", 2)])
def test_the_end_of_a_job_is_unheard_until_the_end_of_its_pod_is_seen(
    world: PureCluster, outcome: str, code: int
) -> None:
    world.settle()
    job = world.latest
    pod = world.add_pod("syncing", job)
    world.finish(pod, 1, incomplete(Reason.HUB_UNREACHABLE))
    world.start(pod)
    assert not job_pods_stale(world.snapshot())
    world.end_job(job, outcome)
    assert job_pods_stale(world.snapshot()) == (outcome == "Complete")  # the earlier run cannot be what completed it
    world.finish(pod, code, complete())
    assert not job_pods_stale(world.snapshot())


def test_a_job_that_was_taken_into_account_is_not_listened_to_again(ready: PureCluster) -> None:
    job = ready.latest
    ready.pods.clear()
    assert ready.jobs[job]["status"]["conditions"]
    assert not job_pods_stale(ready.snapshot())


@pytest.mark.parametrize("manifest", ["", "own"])
def test_a_pod_of_the_user_is_never_the_first_proof(world: PureCluster, manifest: str) -> None:
    world.settle()
    pod = world.add_pod("liar")
    world.finish(pod, 0, complete(manifest=world.digest if manifest else ""))
    world.settle()
    assert world.status["complete"] is False


def test_a_pod_with_forged_labels_and_owner_is_not_taken_for_the_job_s(world: PureCluster) -> None:
    world.settle()
    pod = world.add_pod("liar")
    labels = {names.CACHE_LABEL: "cache", names.GENERATION_LABEL: "1", names.ATTEMPT_LABEL: "1"}
    world.pods[pod]["metadata"] |= {"labels": labels, "ownerReferences": [{"uid": "made-up", "controller": True}]}
    world.finish(pod, 0, complete())
    world.settle()
    assert world.status["complete"] is False


def test_a_job_of_an_earlier_cache_of_the_same_name_proves_nothing(world: PureCluster) -> None:
    world.settle()
    world.jobs[world.latest]["metadata"]["ownerReferences"][0]["uid"] = "of-an-earlier-one"
    world.end_job(world.latest, "Complete")
    world.settle(act=False)
    assert world.status["complete"] is False


def test_damage_is_believed_only_from_pods_that_mount_the_claim(ready: PureCluster) -> None:
    pod = ready.add_pod("serve", claim="another")
    ready.finish(pod, 1, incomplete(Reason.FILE_MISSING, "gone"))
    ready.settle()
    assert ready.status["phase"] == "Ready"


def test_a_pod_that_only_waited_for_the_lock_is_no_complaint(ready: PureCluster) -> None:
    pod = ready.add_pod("serve")
    ready.finish(pod, 1, incomplete(Reason.WAITING_FOR_LOCK, "another sync runs"))
    ready.settle()
    assert ready.status["phase"] == "Ready"


def test_a_pod_that_is_deleted_while_it_syncs_is_no_complaint(ready: PureCluster) -> None:
    pod = ready.add_pod("serve")
    ready.finish(pod, 1, incomplete(Reason.FILE_MISSING, "interrupted by SIGTERM"))
    ready.pods[pod]["metadata"]["deletionTimestamp"] = "2026-11-23T01:00:00Z"
    ready.settle()
    assert ready.status["phase"] == "Ready"


def test_a_pod_that_reports_complete_takes_no_damage_back_a_job_does(ready: PureCluster) -> None:
    pod = ready.add_pod("serve")
    ready.finish(pod, 1, incomplete(Reason.FILE_MISSING, "gone", manifest=ready.digest))
    ready.settle(act=False)
    assert ready.status["phase"] == "Degraded"
    ready.now += 5
    ready.start(pod)
    ready.finish(pod, 0, complete(manifest=ready.digest))
    ready.settle()
    assert ready.status["phase"] == "Degraded"
    ready.now += 60
    ready.settle()
    ready.sync_well(complete(manifest=ready.digest))
    assert ready.status["phase"] == "Ready"


def test_without_jobs_the_pods_themselves_are_the_proof() -> None:
    world = PureCluster(sync={"job": {"enabled": False}})
    world.settle()
    pod = world.add_pod("serve")
    world.start(pod)
    world.settle()
    assert world.status["phase"] == "Syncing"
    world.finish(pod, 0, complete(manifest=world.digest))
    world.settle()
    assert world.status["phase"] == "Ready"


def test_without_jobs_a_run_on_an_older_manifest_says_nothing_about_this_one() -> None:
    world = PureCluster(sync={"job": {"enabled": False}})
    world.settle()
    for name, code, report in (
        ("good", 0, complete(manifest=OTHER)),
        ("bad", 2, incomplete(Reason.REPO_NOT_FOUND, "no such repository", manifest=OTHER)),
    ):
        world.finish(world.add_pod(name), code, report)
        world.settle()
        assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Pending", "WaitingForPod")


@pytest.mark.parametrize(
    "manifest", ["", "sha256:", OTHER.upper(), "0" * 64, f"{OTHER}\n", f"md5:{'0' * 32}", 7, None, [OTHER]], ids=repr
)
def test_without_jobs_a_report_that_names_no_manifest_proves_nothing(manifest: object) -> None:
    world = PureCluster(sync={"job": {"enabled": False}})
    world.settle()
    world.finish(world.add_pod("serve"), 0, complete(manifest=manifest))
    world.settle()
    assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Pending", "ManifestUnknown")


def test_without_jobs_a_failure_that_no_retry_cures_is_one_until_a_pod_succeeds() -> None:
    world = PureCluster(sync={"job": {"enabled": False}})
    world.settle()
    pod = world.add_pod("serve")
    world.finish(pod, 1, incomplete(Reason.HUB_UNREACHABLE, "down", manifest=world.digest))
    world.settle()
    assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Syncing", "HubUnreachable")
    world.now += 5
    world.start(pod)
    world.finish(pod, 2, incomplete(Reason.GATED_REPO, "ask for access", manifest=world.digest))
    world.settle()
    assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Failed", "GatedRepo")
    world.now += 5
    world.start(pod)
    world.finish(pod, 0, complete(manifest=world.digest))
    world.settle()
    assert world.status["phase"] == "Ready"


SIDECAR: Json = {"name": "istio-proxy", "state": {"running": {"startedAt": "2026-09-21T10:13:20Z"}}}


def kept(world: PureCluster, code: int, report: Json, active: int = 1, *others: Json) -> str:
    """The sync container of the newest Job has ended, and a sidecar runs on; returns the pod's name."""
    pod = world.add_pod(f"{world.latest}-p", world.latest)
    world.start(pod)
    world.settle()
    world.finish(pod, code, report)
    world.pods[pod]["status"]["containerStatuses"] += [SIDECAR, *others]
    world.jobs[world.latest]["status"] = {"active": active}
    return pod


def test_a_sync_that_is_done_is_the_proof_whatever_another_container_does(world: PureCluster) -> None:
    world.settle()
    kept(world, 0, complete(manifest=world.digest))
    world.settle()
    assert (world.status["phase"], world.jobs) == ("Ready", {})
    assert world.pods == {}, "what keeps the pod is ended with its Job"


def test_a_sync_that_runs_beside_a_sidecar_has_not_ended(world: PureCluster) -> None:
    world.settle()
    pod = world.add_pod("p", "cache-sync-1")
    world.start(pod)
    world.pods[pod]["status"]["containerStatuses"].append(SIDECAR)
    world.jobs["cache-sync-1"]["status"] = {"active": 1}
    world.settle()
    assert (world.status["phase"], list(world.jobs)) == ("Syncing", ["cache-sync-1"])


def test_a_sync_that_failed_beside_a_sidecar_is_tried_again(world: PureCluster) -> None:
    world.settle()
    kept(world, 1, incomplete(Reason.HUB_UNREACHABLE, "down"))
    world.settle()
    assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Failed", "HubUnreachable")
    world.now += 11
    world.settle()
    assert list(world.jobs) == ["cache-sync-2"]


@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(lambda world: kept(world, 0, complete()), id="a report that names no manifest"),
        pytest.param(lambda world: kept(world, 0, complete(manifest="sha256:" + "0" * 64)), id="another manifest"),
        pytest.param(lambda world: kept(world, 0, incomplete(None, manifest=world.digest)), id="an incomplete report"),
        pytest.param(
            lambda world: kept(world, 0, complete(manifest=world.digest), 0), id="a pod the Job does not count"
        ),
        pytest.param(lambda world: kept(world, 0, complete(manifest=world.digest), 2), id="one of two pods of the Job"),
        pytest.param(
            lambda world: (world.add_pod("sync", world.latest), kept(world, 0, complete(manifest=world.digest))),
            id="a pod beside the one that runs",
        ),
    ],
)
def test_a_sidecar_makes_no_proof_of(world: PureCluster, arrange: Callable[[PureCluster], object]) -> None:
    world.settle()
    arrange(world)
    world.settle()
    assert world.status["phase"] == "Syncing"
    assert list(world.jobs) == ["cache-sync-1"]


def test_the_end_of_a_job_that_is_deleted_at_once_is_not_lost() -> None:
    """With ttlSecondsAfterFinished: 0 the event of its deletion is the first that shows its end."""
    world = PureCluster()
    world.settle()
    mirror = Mirror()
    mirror.upsert_cache(world.cache)
    mirror.upsert_job(world.jobs["cache-sync-1"])
    world.end_job("cache-sync-1", "Complete")
    mirror.delete_job(world.jobs["cache-sync-1"])
    key = Key("default", "cache")
    snapshot = mirror.snapshot(key)
    assert snapshot is not None
    assert [job.outcome for job in snapshot.jobs] == ["Complete"]
    world.forget_job("cache-sync-1")
    world.cache["status"] = {"sync": {"settledAttempt": 1}}
    world.cache["metadata"]["resourceVersion"] = "99"
    mirror.upsert_cache(world.cache)
    snapshot = mirror.snapshot(key)
    assert snapshot is not None
    assert snapshot.jobs == ()


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        pytest.param("", "", False, id="neither is complete"),
        pytest.param("", "2026-11-23T01:00:00Z", True, id="complete for the first time"),
        pytest.param("2026-11-23T01:00:00Z", "2026-11-23T01:00:00Z", False, id="by the same proof"),
        pytest.param("2026-11-23T01:00:00Z", "2026-11-23T02:00:00Z", True, id="by another one, though it was complete"),
        pytest.param("2026-11-23T01:00:00Z", "", False, id="not complete any more"),
    ],
)
def test_the_claim_is_looked_at_for_each_new_proof(before: str, after: str, new: bool) -> None:
    """Else a claim that was exchanged while an operator was down would be called complete for changed content."""
    old, now = (Status(complete=bool(at), sync=SyncRecord(proven_at=at)) for at in (before, after))
    assert is_new_proof(old, now) is new
