"""The rules of the pure decision, one test each; ``test_phases`` replays whole stories."""

from __future__ import annotations

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import manifests, names, parse
from modelcache_operator.core.job_plan import retry_delay_s
from modelcache_operator.core.observed import Neighbour
from support.pure_cluster import START, PureCluster
from support.reports import complete, incomplete

CREATE = {"claimName": "models", "create": {"size": "110Gi", "storageClassName": "fast"}}


def written_digest(world: PureCluster) -> str:
    """Of the ConfigMap that the operator rendered."""
    assert world.config is not None
    return manifests.text_digest(world.config["data"][names.MANIFEST_KEY])


# The volume


def test_a_missing_claim_is_named_and_no_job_is_made() -> None:
    world = PureCluster(claim=None)
    world.settle()
    assert world.status["phase"] == "Pending"
    assert "there is no claim models" in world.status["message"]
    assert "spec.volume.create" in world.status["message"]
    assert world.condition("VolumeReady")["reason"] == "ClaimMissing"
    assert world.jobs == {}


def test_a_cache_without_a_volume_says_what_to_set() -> None:
    world = PureCluster(volume={})
    world.settle()
    assert world.condition("VolumeReady")["reason"] == "NoClaim"
    assert world.jobs == {}


def test_a_pending_claim_gets_a_job_because_it_may_be_waiting_for_a_pod() -> None:
    world = PureCluster(claim="Pending")
    world.settle()
    assert list(world.jobs) == ["cache-sync-1"]
    assert world.status["phase"] == "Pending"
    assert "claim models is Pending" in world.status["message"]


def test_a_lost_claim_makes_a_new_cache_wait_and_a_ready_one_degraded(ready: PureCluster) -> None:
    fresh = PureCluster(claim="Lost")
    fresh.settle()
    ready.set_claim("Lost")
    ready.settle()
    assert (fresh.status["phase"], ready.status["phase"]) == ("Pending", "Degraded")
    assert ready.condition("Complete")["reason"] == "ClaimLost"
    assert fresh.jobs == {}


def test_a_claim_is_created_as_the_manifest_says() -> None:
    world = PureCluster(claim=None, volume=CREATE)
    world.settle()
    assert world.claim is not None
    assert world.claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "110Gi"}},
        "storageClassName": "fast",
    }
    assert list(world.jobs) == ["cache-sync-1"]


def test_a_created_claim_without_a_name_has_the_cache_s() -> None:
    world = PureCluster(claim=None, volume={"create": {"size": "1Gi"}})
    assert world.decide().create_claim
    assert world.snapshot().cache.volume.claim == "cache"


@pytest.mark.parametrize(("policy", "owned"), [("Retain", False), ("Delete", True)])
def test_a_created_claim_is_deleted_with_the_cache_only_if_the_manifest_says_so(policy: str, owned: bool) -> None:
    world = PureCluster(claim=None, volume={**CREATE, "deletionPolicy": policy})
    world.settle()
    assert world.claim is not None
    assert bool(world.claim["metadata"].get("ownerReferences")) is owned


def test_a_claim_of_the_user_is_never_tied_to_the_cache() -> None:
    world = PureCluster(volume={**CREATE, "deletionPolicy": "Delete"})
    assert world.decide().own_claim is None


def test_a_created_claim_is_untied_when_another_cache_uses_it_too() -> None:
    world = PureCluster(claim=None, volume={**CREATE, "deletionPolicy": "Delete"})
    world.settle()
    world.claim_shared = True
    assert world.claim is not None
    world.claim["metadata"]["ownerReferences"] = [{"uid": parse.parse_cache(world.cache).uid}]
    assert world.decide().own_claim is False


def test_the_older_of_two_caches_keeps_a_place_that_both_want() -> None:
    world = PureCluster()
    world.neighbours = (Neighbour("older", START - 10, {"base": "something else"}),)
    world.settle()
    assert world.status["phase"] == "Failed"
    assert "filled by ModelCache older with other content" in world.status["message"]
    assert world.jobs == {}


def test_two_caches_may_want_the_same_content_at_the_same_place(world: PureCluster) -> None:
    places = world.snapshot().cache.paths
    world.neighbours = (Neighbour("older", START - 10, places), Neighbour("newer", START + 10, {"base": "x"}))
    world.settle()
    assert world.status["phase"] == "Pending"


# The Job


def test_the_config_map_holds_the_manifest_and_is_written_again_when_somebody_edits_it(world: PureCluster) -> None:
    world.settle()
    assert written_digest(world) == world.digest
    assert world.config is not None
    world.config["data"][names.MANIFEST_KEY] += "# edited\n"
    assert world.decide().write_config
    world.settle()
    assert written_digest(world) == world.digest


def test_the_job_meets_the_restricted_standard_and_mounts_no_token(world: PureCluster) -> None:
    world.settle()
    job = world.jobs["cache-sync-1"]["spec"]
    pod = job["template"]["spec"]
    container = pod["containers"][0]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2]
    assert container["resources"]["limits"]["memory"]
    assert "nvidia.com/gpu" not in str(pod)


def test_the_pod_names_no_user_if_the_manifest_says_so_and_keeps_what_is_asked_for() -> None:
    world = PureCluster(sync={"job": {"runAsDefaultUser": False, "podSecurityContext": {"fsGroup": 3000}}})
    world.settle()
    security = world.jobs["cache-sync-1"]["spec"]["template"]["spec"]["securityContext"]
    assert security == {
        "runAsNonRoot": True,
        "fsGroup": 3000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_what_the_manifest_says_about_the_job_is_passed_on() -> None:
    job = {
        "image": "registry.example/sync:1",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "pull"}],
        "resources": {"limits": {"memory": "2Gi"}},
        "podSecurityContext": {"fsGroup": 3000},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "backoffLimit": 0,
        "activeDeadlineSeconds": 7,
        "ttlSecondsAfterFinished": 9,
    }
    world = PureCluster(sync={"job": job}, auth={"secretName": "hf-token"})
    world.settle()
    spec = world.jobs["cache-sync-1"]["spec"]
    pod = spec["template"]["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 7, 9)
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["securityContext"]["fsGroup"] == 3000
    assert pod["containers"][0]["image"] == "registry.example/sync:1"
    assert pod["containers"][0]["resources"] == {"limits": {"memory": "2Gi"}}
    assert pod["containers"][0]["env"] == [
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token"}}},
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
    ]


def test_a_resync_looks_up_branches_again_and_hashes_everything(ready: PureCluster) -> None:
    ready.annotate("now")
    ready.settle()
    job = ready.jobs["cache-sync-2"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][-3:] == ["--refresh", "--verify", "deep"]
    assert ready.status["complete"] is False
    assert ready.condition("Complete")["reason"] == "Resyncing"


def test_a_resync_that_ends_without_a_word_leaves_the_cache_degraded(ready: PureCluster) -> None:
    """It may have been killed half-way through replacing files."""
    ready.annotate("now")
    ready.settle()
    ready.sync_badly(137, "")
    assert ready.status["phase"] == "Degraded"


@pytest.mark.parametrize(("failures", "delay"), [(0, 0), (1, 10), (2, 20), (4, 80), (7, 600), (1000, 600)])
def test_delays_grow_up_to_ten_minutes(failures: int, delay: float) -> None:
    assert retry_delay_s(failures) == delay


def test_after_a_failed_job_the_next_one_waits(world: PureCluster) -> None:
    world.settle()
    world.sync_badly(1, incomplete(Reason.RATE_LIMITED, "429"))
    assert len(world.jobs) == 1
    assert ". Next attempt at " in world.status["message"]
    assert world.decide().wake_at == pytest.approx(world.now + 10, abs=1)
    world.now += 11
    world.settle()
    assert world.latest == "cache-sync-2"


def test_a_repair_waits_a_minute_after_the_job_before_it(ready: PureCluster) -> None:
    for number in range(3):
        pod = ready.add_pod(f"serve-{number}")
        ready.finish(pod, 1, incomplete(Reason.SIZE_MISMATCH, "a is too short"))
        ready.settle()
        assert ready.status["phase"] == "Degraded"
        ready.now += 61
        ready.settle()
        assert len(ready.jobs) == number + 2
        ready.sync_well(complete())
        ready.now += 1
        del ready.pods[pod]


def test_no_job_is_made_when_they_are_switched_off() -> None:
    world = PureCluster(sync={"job": {"enabled": False}})
    world.settle()
    assert world.jobs == {}
    assert "are disabled" in world.status["message"]


def test_a_cache_that_is_being_deleted_gets_nothing_new(world: PureCluster) -> None:
    world.cache["metadata"]["deletionTimestamp"] = "2026-11-23T01:00:00Z"
    decision = world.decide()
    assert (decision.create_job, decision.write_config, decision.remove_gates.pods) == (None, False, ())


def test_a_refusal_of_the_api_is_said_and_survives_until_it_is_gone(world: PureCluster) -> None:
    world.refused = "the API refuses Job cache-sync-1: exceeded quota"
    world.refused_until = world.now + 1
    decision = world.decide()
    assert decision.status.phase == "Failed"
    assert "exceeded quota" in decision.status.message
    assert decision.create_job is None
    assert decision.status.sync.attempt == 0


def test_a_manifest_that_the_schema_let_pass_is_refused_in_words() -> None:
    links = [{"file": "a", "at": "x"}, {"file": "b", "at": "x"}]
    world = PureCluster(models=[{"name": "base", "repo": "o/r", "path": "base", "links": links}])
    world.settle()
    assert world.status["phase"] == "Failed"
    assert world.condition("Complete")["reason"] == "InvalidSpec"
    assert "spec.models[0].links[1].at" in world.status["message"]
    assert (world.jobs, world.config) == ({}, None)


def test_a_suspended_job_is_not_replaced_and_goes_on_when_it_is_resumed(world: PureCluster) -> None:
    world.settle()
    world.jobs["cache-sync-1"]["spec"]["suspend"] = True
    world.settle()
    assert list(world.jobs) == ["cache-sync-1"]
    world.jobs["cache-sync-1"]["spec"]["suspend"] = False
    world.sync_well(complete())
    assert world.status["phase"] == "Ready"


def test_the_operator_looks_again_when_a_job_has_had_no_pod_for_long_enough(world: PureCluster) -> None:
    world.settle()
    wake = world.decide().wake_at
    assert wake is not None
    world.now = wake
    world.settle()
    assert world.condition("Complete")["reason"] == "JobWithoutPod"


def test_a_pod_at_the_gate_is_told_what_it_waits_for_once_it_has_waited_a_moment(world: PureCluster) -> None:
    world.settle()
    world.add_pod("serve", gated=True)
    assert world.decide().notify_waiting == ()
    wake = world.decide().wake_at
    assert wake is not None
    world.now = wake
    assert [pod.name for pod in world.decide().notify_waiting] == ["serve"]
    world.sync_well(complete())
    assert world.decide().notify_waiting == ()


def test_pods_in_use_are_counted_by_the_commits_that_they_found(ready: PureCluster) -> None:
    for name, commit in (("old", "a" * 40), ("new", None)):
        report = complete()
        if commit:
            report["models"][0]["commit"] = commit
        ready.finish(ready.add_pod(name), 0, report)
    ready.add_pod("waits")
    gateless = ready.add_pod("bare")
    del ready.pods[gateless]["spec"]["initContainers"]
    ready.pods[gateless]["metadata"]["annotations"] = {names.COMMIT_ANNOTATION: "a" * 40}
    ready.pods[gateless]["spec"]["nodeName"] = "node"
    ready.settle()
    current = ready.status["models"][0]["commit"]
    assert ready.status["pods"] == {
        "waiting": 0,
        "early": 0,
        "started": 3,
        "outdated": 2,
        "commits": [{"commit": "a" * 40, "pods": 2}, {"commit": current, "pods": 1}],
    }
