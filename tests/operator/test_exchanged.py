"""What a proof rests on, exchanged under its name: claim, volume, cache, Job, pod, manifest, status."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

FIRST, SECOND = "1" * 32, "2" * 32
OTHER_MODELS = [{"name": "base", "repo": "owner/other", "path": "base"}]
CREATE = {"claimName": "models", "create": {"size": "1Gi"}}


def said(world: PureCluster) -> tuple[str, str, str, str]:
    summary = world.status["summary"]
    return world.status["phase"], world.condition("Complete")["status"], summary["models"], summary["progress"]


@pytest.fixture
def proven(world: PureCluster) -> PureCluster:
    """Ready, on a volume that has an id; a pod waits at the gate of no cache yet."""
    world.settle()
    world.sync_well(complete(volumeId=FIRST))
    world.now += 100
    return world


# The claim


def test_a_claim_that_was_created_again_is_empty_until_a_job_of_its_own_has_filled_it(proven: PureCluster) -> None:
    proven.set_claim(None)
    proven.settle()
    assert said(proven) == ("Degraded", "False", "0/1", "0%")
    proven.add_pod("serve", gated=True)
    proven.replace_claim("Pending")
    proven.settle()
    assert (proven.status["phase"], proven.condition("Complete")["status"]) == ("Pending", "False")
    assert proven.latest == "cache-sync-2", "it may be waiting for its first consumer"
    proven.set_claim("Bound")
    proven.settle()
    assert proven.opened == []
    proven.sync_well(complete(volumeId=SECOND))
    assert said(proven) == ("Ready", "True", "1/1", "100%")
    assert proven.opened == ["serve"]
    assert proven.phases == ["Pending", "Syncing", "Ready", "Degraded", "Pending", "Syncing", "Ready"]


def test_an_exchange_that_nobody_saw_is_known_by_the_uid(proven: PureCluster) -> None:
    """As after an operator that was away, or a restore from a snapshot, a clone or a backup with status and all."""
    proven.replace_claim()
    proven.add_pod("serve", gated=True)
    proven.settle()
    assert proven.status["complete"] is False
    assert (proven.latest, proven.opened) == ("cache-sync-2", [])


@pytest.mark.parametrize(("phase", "reason"), [("Pending", "ClaimNotBound"), ("Lost", "ClaimLost")])
def test_a_claim_without_a_volume_is_not_complete_and_keeps_its_proof(
    proven: PureCluster, phase: str, reason: str
) -> None:
    proven.set_claim(phase)
    proven.settle()
    assert said(proven) == ("Degraded", "False", "0/1", "0%")
    proven.now += 100
    proven.settle()
    assert proven.condition("Complete")["reason"] == reason
    proven.set_claim("Bound")
    proven.settle()
    assert said(proven) == ("Ready", "True", "1/1", "100%")
    assert proven.latest == "cache-sync-1"


def test_a_claim_that_is_being_deleted_is_not_complete_and_no_job_of_ours_keeps_it(proven: PureCluster) -> None:
    """Kubernetes keeps a claim for as long as there are pods that mount it, finished ones too."""
    assert proven.claim is not None
    proven.claim["metadata"]["deletionTimestamp"] = "2026-11-23T01:00:00Z"
    proven.settle()
    assert said(proven) == ("Degraded", "False", "0/1", "0%")
    assert proven.jobs == {}


def test_a_job_is_made_for_a_claim_that_exists() -> None:
    world = PureCluster(claim=None, volume=CREATE)
    decision = world.decide()
    assert (decision.create_claim, decision.create_job) == (True, None)
    world.settle()
    assert world.claim is not None
    job = world.jobs["cache-sync-1"]["metadata"]
    assert job["annotations"][names.CLAIM_UID_ANNOTATION] == world.claim["metadata"]["uid"]


def test_a_job_for_a_claim_that_is_gone_proves_nothing_of_the_next_one(world: PureCluster) -> None:
    world.settle()
    pod = world.add_pod("syncing", "cache-sync-1")
    world.start(pod)
    world.settle()
    world.finish(pod, 0, complete(volumeId=FIRST))
    world.end_job("cache-sync-1", "Complete")
    world.replace_claim()
    world.settle()
    assert world.status["complete"] is False
    assert world.latest == "cache-sync-2"


def test_a_running_job_for_a_claim_that_is_gone_is_deleted(world: PureCluster) -> None:
    world.settle()
    world.start(world.add_pod("syncing", "cache-sync-1"))
    world.settle()
    world.replace_claim()
    world.settle()
    assert list(world.jobs) == ["cache-sync-2"]


def test_back_on_an_earlier_claim_a_new_job_looks(proven: PureCluster) -> None:
    earlier = proven.claim
    proven.replace_claim()
    proven.settle()
    proven.claim = earlier
    proven.settle()
    assert proven.status["complete"] is False
    assert proven.latest == "cache-sync-3"


def test_without_jobs_what_a_pod_did_before_the_claim_was_created_is_no_proof() -> None:
    world = PureCluster(sync={"job": {"enabled": False}})
    pod = world.add_pod("serve")
    world.finish(pod, 0, complete(manifest=world.digest))
    world.settle()
    assert world.status["phase"] == "Ready"
    world.replace_claim()
    world.settle()
    assert world.status["complete"] is False
    world.now += 1
    world.start(pod)
    world.finish(pod, 0, complete(manifest=world.digest))
    world.settle()
    assert world.status["phase"] == "Ready"


def test_a_sync_that_runs_since_before_the_claim_was_created_is_none_of_this_claim() -> None:
    world = PureCluster(sync={"job": {"enabled": False}})
    pod = world.add_pod("serve")
    world.start(pod)
    world.tell_progress(pod, complete(manifest=world.digest))
    world.replace_claim()
    world.settle()
    assert (world.status["phase"], world.condition("Syncing")["status"]) == ("Pending", "False")


# The volume


@pytest.mark.parametrize("code", [0, 1])
def test_a_pod_that_finds_another_volume_under_the_claim_takes_the_proof_back(proven: PureCluster, code: int) -> None:
    pod = proven.add_pod("serve")
    report = complete if code == 0 else lambda **extra: incomplete(Reason.FILE_MISSING, "gone", **extra)
    proven.finish(pod, code, report(volumeId=SECOND, manifest=proven.digest))
    proven.settle()
    assert (proven.status["phase"], proven.condition("Complete")["reason"]) == ("Degraded", "VolumeReplaced")
    assert proven.status["message"].startswith("pod serve found another volume on claim models")
    assert said(proven)[1:3] == ("False", "0/1")
    assert proven.latest == "cache-sync-2"
    proven.sync_well(complete(volumeId=SECOND))
    assert proven.status["phase"] == "Ready"
    assert proven.status["sync"]["volumeId"] == SECOND


def test_a_pod_that_fills_another_volume_is_noticed_while_it_does(proven: PureCluster) -> None:
    pod = proven.add_pod("serve")
    proven.start(pod)
    proven.tell_progress(pod, incomplete(None, volumeId=SECOND))
    proven.settle()
    assert proven.condition("Complete")["reason"] == "VolumeReplaced"


@pytest.mark.parametrize("volume", [None, FIRST, "", 7, "1" * 31, FIRST.upper() + "A", [FIRST]], ids=repr)
def test_a_report_without_an_id_says_nothing_about_the_volume(proven: PureCluster, volume: object) -> None:
    """Images of version 0.1.0, and volumes that cannot be written to, have none."""
    proven.finish(proven.add_pod("serve"), 0, complete(volumeId=volume, manifest=proven.digest))
    proven.settle()
    assert proven.status["phase"] == "Ready"


def test_a_proof_without_an_id_is_compared_with_none(ready: PureCluster) -> None:
    ready.finish(ready.add_pod("serve"), 0, complete(volumeId=SECOND, manifest=ready.digest))
    ready.settle()
    assert ready.status["phase"] == "Ready"


def test_a_pod_on_another_volume_does_not_take_a_complaint_back(proven: PureCluster) -> None:
    proven.finish(proven.add_pod("first"), 1, incomplete(Reason.FILE_MISSING, "gone", volumeId=FIRST))
    proven.settle(act=False)
    proven.now += 5
    proven.finish(proven.add_pod("second"), 0, complete(volumeId=SECOND, manifest=proven.digest))
    proven.settle(act=False)
    assert proven.status["complete"] is False


def test_a_resync_that_failed_on_another_volume_takes_the_proof_back(proven: PureCluster) -> None:
    proven.annotate("1")
    proven.settle()
    proven.sync_badly(1, complete(volumeId=SECOND))
    assert proven.status["phase"] == "Degraded"


# The cache, its Jobs, its manifest


def test_a_cache_that_was_created_again_is_proven_by_a_job_of_its_own(proven: PureCluster) -> None:
    """What Jobs and pods said to its predecessor is still there to be seen."""
    proven.finish(proven.add_pod("serve"), 0, complete(volumeId=FIRST, manifest=proven.digest))
    proven.cache["metadata"]["uid"] = "c0ffee00-0000-4000-8000-000000000002"
    del proven.cache["status"]
    proven.settle()
    assert proven.status["complete"] is False
    proven.sync_well(complete(volumeId=FIRST))
    assert proven.status["complete"] is True


def test_a_status_that_was_restored_is_believed_of_the_claim_that_it_names_alone(proven: PureCluster) -> None:
    """The proof names no cache: of this claim and this content it is as true in another one."""
    proven.cache["metadata"]["uid"] = "c0ffee00-0000-4000-8000-000000000002"
    proven.settle()
    assert proven.status["complete"] is True
    proven.replace_claim()
    proven.settle()
    assert proven.status["complete"] is False


def test_a_job_of_somebody_else_under_our_name_is_neither_believed_nor_deleted(proven: PureCluster) -> None:
    foreign = proven.jobs["cache-sync-1"]["metadata"]
    foreign["ownerReferences"][0]["uid"] = "somebody else"
    del proven.cache["status"]
    proven.settle()
    assert proven.status["complete"] is False
    assert "cache-sync-1" in proven.jobs


def test_a_pod_of_an_earlier_job_of_the_same_name_is_not_heard(world: PureCluster) -> None:
    world.settle()
    pod = world.add_pod("early", "cache-sync-1")
    world.finish(pod, 0, complete())
    world.jobs["cache-sync-1"]["metadata"]["uid"] = "another Job of that name"
    world.settle()
    assert world.status["summary"]["models"] == "0/1"


@pytest.mark.parametrize(
    "change",
    [
        {"sync": {"job": {"nodeSelector": {"disk": "ssd"}}}},
        {"auth": {"secretName": "token"}},
        {"volume": {"claimName": "models", "deletionPolicy": "Retain"}},
        {"allowPickles": True},
    ],
    ids=lambda each: next(iter(each)),
)
def test_an_operational_change_takes_back_no_proof(proven: PureCluster, change: dict[str, Any]) -> None:
    proven.change_spec(**change)
    proven.add_pod("serve", gated=True)
    proven.settle()
    assert (proven.status["phase"], proven.status["observedGeneration"]) == ("Ready", 2)
    assert (list(proven.jobs), proven.opened) == (["cache-sync-1"], ["serve"])
    assert proven.phases == ["Pending", "Syncing", "Ready"]


def test_a_manifest_that_is_wrong_in_an_operational_field_is_refused_and_keeps_its_proof(proven: PureCluster) -> None:
    proven.change_spec(sync={"job": {"backoffLimit": -1}})
    proven.settle()
    assert (proven.status["phase"], proven.condition("Complete")["reason"]) == ("Failed", "InvalidSpec")
    proven.change_spec(sync={"job": {"backoffLimit": 1}})
    proven.settle()
    assert (proven.status["phase"], list(proven.jobs)) == ("Ready", ["cache-sync-1"])


def test_content_that_was_changed_and_changed_back_is_proven_again(proven: PureCluster) -> None:
    """Files of the other content may lie where those of this one were."""
    models = proven.cache["spec"]["models"]
    proven.change_spec(models=OTHER_MODELS)
    proven.settle()
    proven.change_spec(models=models)
    proven.settle()
    assert proven.status["complete"] is False
    assert proven.latest == "cache-sync-3"


def test_an_operational_change_lets_a_sync_that_runs_go_on(world: PureCluster) -> None:
    world.settle()
    world.start(world.add_pod("syncing", "cache-sync-1"))
    world.settle()
    world.change_spec(auth={"secretName": "token"})
    world.settle()
    assert list(world.jobs) == ["cache-sync-1"]
    assert world.status["phase"] == "Syncing"


def test_an_operational_change_replaces_a_job_that_cannot_start(world: PureCluster) -> None:
    world.settle()
    world.wait(world.add_pod("syncing", "cache-sync-1"), "ImagePullBackOff")
    world.settle()
    world.change_spec(sync={"job": {"image": "registry.example/right"}})
    world.settle()
    assert list(world.jobs) == ["cache-sync-2"]
    job = world.jobs["cache-sync-2"]["spec"]["template"]["spec"]
    assert job["containers"][0]["image"] == "registry.example/right"


def test_after_an_operational_change_a_failed_sync_is_tried_again_at_once(world: PureCluster) -> None:
    world.settle()
    world.sync_badly(2, incomplete(Reason.GATED_REPO, "ask for access"))
    assert world.status["phase"] == "Failed"
    world.change_spec(auth={"secretName": "token"})
    world.settle()
    assert world.latest == "cache-sync-2"
    assert world.phases == ["Pending", "Syncing", "Failed", "Pending"]


def test_a_status_of_version_0_1_0_is_not_believed_until_a_warm_job_has_looked(proven: PureCluster) -> None:
    for key in ("claimUid", "manifest", "volumeId"):
        del proven.status["sync"][key]
    for key in (names.CLAIM_UID_ANNOTATION, names.DIGEST_ANNOTATION):
        del proven.jobs["cache-sync-1"]["metadata"]["annotations"][key]
    proven.settle()
    assert proven.status["complete"] is False
    proven.sync_well(complete(fetched=0, volumeId=FIRST))
    assert proven.status["complete"] is True


def test_a_job_of_version_0_1_0_that_runs_is_replaced(world: PureCluster) -> None:
    world.settle()
    world.jobs["cache-sync-1-1"] = job = world.jobs.pop("cache-sync-1")
    job["metadata"] |= {"name": "cache-sync-1-1", "annotations": {}}
    world.start(world.add_pod("syncing", "cache-sync-1-1"))
    world.settle()
    assert list(world.jobs) == ["cache-sync-2"]


def test_the_config_map_holds_what_decides_the_content_in_one_form() -> None:
    world = PureCluster(auth={"secretName": "token"}, sync={"job": {"env": [{"name": "A", "value": "b"}]}})
    world.settle()
    assert world.config is not None
    text = world.config["data"][names.MANIFEST_KEY]
    assert "token" not in text
    assert "env" not in text
    assert "uid" not in text
    turned = {key: world.cache["spec"]["models"][0][key] for key in ("path", "repo", "name")}
    assert PureCluster(models=[turned], allowPickles=True).digest == world.digest
    assert PureCluster(allowPickles=False).digest != world.digest
