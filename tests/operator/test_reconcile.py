"""The rules of the pure decision, one test each; ``test_phases`` replays whole stories."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names, reading
from modelcache_operator.core.attempts import retry_delay_s
from modelcache_operator.core.facts import Neighbour
from support.reports import GIB, complete, incomplete
from support.world import START, World, text_digest

CREATE = {"claimName": "models", "create": {"size": "110Gi", "storageClassName": "fast"}}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ready(world: World) -> World:
    world.settle()
    world.sync_well(complete())
    world.now += 100
    return world


# The volume


def test_a_missing_claim_is_named_and_no_job_is_made() -> None:
    world = World(claim=None)
    world.settle()
    assert world.status["phase"] == "Pending"
    assert "there is no claim models" in world.status["message"]
    assert "spec.volume.create" in world.status["message"]
    assert world.condition("VolumeReady")["reason"] == "ClaimMissing"
    assert world.jobs == {}


def test_a_cache_without_a_volume_says_what_to_set() -> None:
    world = World(volume={})
    world.settle()
    assert world.condition("VolumeReady")["reason"] == "NoClaim"
    assert world.jobs == {}


def test_a_pending_claim_gets_a_job_because_it_may_be_waiting_for_a_pod() -> None:
    world = World(claim="Pending")
    world.settle()
    assert list(world.jobs) == ["cache-sync-1-1"]
    assert world.status["phase"] == "Pending"
    assert "claim models is Pending" in world.status["message"]


def test_a_lost_claim_makes_a_new_cache_wait_and_a_ready_one_degraded(ready: World) -> None:
    fresh = World(claim="Lost")
    fresh.settle()
    ready.set_claim("Lost")
    ready.settle()
    assert (fresh.status["phase"], ready.status["phase"]) == ("Pending", "Degraded")
    assert ready.condition("Complete")["reason"] == "ClaimLost"
    assert fresh.jobs == {}


def test_a_claim_is_created_as_the_manifest_says() -> None:
    world = World(claim=None, volume=CREATE)
    world.settle()
    assert world.claim is not None
    assert world.claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "110Gi"}},
        "storageClassName": "fast",
    }
    assert list(world.jobs) == ["cache-sync-1-1"]


def test_a_created_claim_without_a_name_has_the_cache_s() -> None:
    world = World(claim=None, volume={"create": {"size": "1Gi"}})
    assert world.decide().create_claim
    assert world.snapshot().cache.volume.claim == "cache"


@pytest.mark.parametrize(("policy", "owned"), [("Retain", False), ("Delete", True)])
def test_a_created_claim_is_deleted_with_the_cache_only_if_the_manifest_says_so(policy: str, owned: bool) -> None:
    world = World(claim=None, volume={**CREATE, "deletionPolicy": policy})
    world.settle()
    assert world.claim is not None
    assert bool(world.claim["metadata"].get("ownerReferences")) is owned


def test_a_claim_of_the_user_is_never_tied_to_the_cache() -> None:
    world = World(volume={**CREATE, "deletionPolicy": "Delete"})
    assert world.decide().own_claim is None


def test_a_created_claim_is_untied_when_another_cache_uses_it_too() -> None:
    world = World(claim=None, volume={**CREATE, "deletionPolicy": "Delete"})
    world.settle()
    world.claim_shared = True
    assert world.claim is not None
    world.claim["metadata"]["ownerReferences"] = [{"uid": reading.read_cache(world.cache).uid}]
    assert world.decide().own_claim is False


def test_the_older_of_two_caches_keeps_a_place_that_both_want() -> None:
    world = World()
    world.neighbours = (Neighbour("older", START - 10, {"base": "something else"}),)
    world.settle()
    assert world.status["phase"] == "Failed"
    assert "filled by ModelCache older with other content" in world.status["message"]
    assert world.jobs == {}


def test_two_caches_may_want_the_same_content_at_the_same_place(world: World) -> None:
    places = world.snapshot().cache.places
    world.neighbours = (Neighbour("older", START - 10, places), Neighbour("newer", START + 10, {"base": "x"}))
    world.settle()
    assert world.status["phase"] == "Pending"


# The Job


def test_the_config_map_holds_the_manifest_and_is_written_again_when_somebody_edits_it(world: World) -> None:
    world.settle()
    assert text_digest(world) == world.digest
    assert world.config is not None
    world.config["data"][names.MANIFEST_KEY] += "# edited\n"
    assert world.decide().write_config
    world.settle()
    assert text_digest(world) == world.digest


def test_the_job_meets_the_restricted_standard_and_mounts_no_token(world: World) -> None:
    world.settle()
    job = world.jobs["cache-sync-1-1"]["spec"]
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
    assert "nvidia.com/gpu" not in str(pod)


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
    world = World(sync={"job": job}, auth={"secretName": "hf-token"})
    world.settle()
    spec = world.jobs["cache-sync-1-1"]["spec"]
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


def test_a_resync_looks_up_branches_again_and_hashes_everything(ready: World) -> None:
    ready.annotate("now")
    ready.settle()
    job = ready.jobs["cache-sync-1-2"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][-3:] == ["--refresh", "--verify", "deep"]
    assert ready.status["complete"] is False
    assert ready.condition("Complete")["reason"] == "Resyncing"


def test_a_resync_that_ends_without_a_word_leaves_the_cache_degraded(ready: World) -> None:
    """It may have been killed half-way through replacing files."""
    ready.annotate("now")
    ready.settle()
    ready.sync_badly(137, "")
    assert ready.status["phase"] == "Degraded"


@pytest.mark.parametrize(("failures", "delay"), [(0, 0), (1, 10), (2, 20), (4, 80), (7, 600), (1000, 600)])
def test_delays_grow_up_to_ten_minutes(failures: int, delay: float) -> None:
    assert retry_delay_s(failures) == delay


def test_after_a_failed_job_the_next_one_waits(world: World) -> None:
    world.settle()
    world.sync_badly(1, incomplete(Reason.RATE_LIMITED, "429"))
    assert len(world.jobs) == 1
    assert ". Next attempt at " in world.status["message"]
    assert world.decide().wake_at == pytest.approx(world.now + 10, abs=1)
    world.now += 11
    world.settle()
    assert world.latest == "cache-sync-1-2"


def test_a_repair_waits_a_minute_after_the_job_before_it(ready: World) -> None:
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
    world = World(sync={"job": {"enabled": False}})
    world.settle()
    assert world.jobs == {}
    assert "switched off" in world.status["message"]


def test_a_cache_that_is_being_deleted_gets_nothing_new(world: World) -> None:
    world.cache["metadata"]["deletionTimestamp"] = "2026-11-23T01:00:00Z"
    decision = world.decide()
    assert (decision.create_job, decision.write_config, decision.open_gates) == (None, False, ())


def test_a_refusal_of_the_api_is_said_and_survives_until_it_is_gone(world: World) -> None:
    world.refused = "the API refuses what the manifest asks for: exceeded quota"
    decision = world.decide(act=False)
    assert decision.status.phase == "Failed"
    assert "exceeded quota" in decision.status.message
    assert decision.create_job is None
    assert decision.status.sync.attempt == 0


def test_a_manifest_that_the_schema_let_pass_is_refused_in_words() -> None:
    links = [{"file": "a", "at": "x"}, {"file": "b", "at": "x"}]
    world = World(models=[{"name": "base", "repo": "o/r", "path": "base", "links": links}])
    world.settle()
    assert world.status["phase"] == "Failed"
    assert world.condition("Complete")["reason"] == "InvalidSpec"
    assert "spec.models[0].links[1].at" in world.status["message"]
    assert (world.jobs, world.config) == ({}, None)


# What is believed


def test_a_job_that_read_another_manifest_proves_nothing(world: World) -> None:
    world.settle()
    world.sync_well(complete(manifest="0" * 16))
    assert world.status["complete"] is False
    assert world.condition("Complete")["reason"] == "ManifestChanged"
    world.now += 11
    world.settle()
    world.sync_well(complete(manifest=world.digest))
    assert world.status["complete"] is True


@pytest.mark.parametrize("manifest", ["", "own"])
def test_a_pod_of_the_user_is_never_the_first_proof(world: World, manifest: str) -> None:
    world.settle()
    pod = world.add_pod("liar")
    world.finish(pod, 0, complete(manifest=world.digest if manifest else ""))
    world.settle()
    assert world.status["complete"] is False


def test_a_pod_with_forged_labels_and_owner_is_not_taken_for_the_job_s(world: World) -> None:
    world.settle()
    pod = world.add_pod("liar")
    labels = {names.CACHE_LABEL: "cache", names.GENERATION_LABEL: "1", names.ATTEMPT_LABEL: "1"}
    world.pods[pod]["metadata"] |= {"labels": labels, "ownerReferences": [{"uid": "made-up", "controller": True}]}
    world.finish(pod, 0, complete())
    world.settle()
    assert world.status["complete"] is False


def test_a_job_of_an_earlier_cache_of_the_same_name_proves_nothing(world: World) -> None:
    world.settle()
    world.jobs[world.latest]["metadata"]["ownerReferences"][0]["uid"] = "of-an-earlier-one"
    world.end_job(world.latest, "Complete")
    world.settle(act=False)
    assert world.status["complete"] is False


def test_damage_is_believed_only_from_pods_that_mount_the_claim(ready: World) -> None:
    pod = ready.add_pod("serve", claim="another")
    ready.finish(pod, 1, incomplete(Reason.FILE_MISSING, "gone"))
    ready.settle()
    assert ready.status["phase"] == "Ready"


def test_a_pod_that_only_waited_for_the_lock_is_no_complaint(ready: World) -> None:
    pod = ready.add_pod("serve")
    ready.finish(pod, 1, incomplete(Reason.WAITING_FOR_LOCK, "another sync runs"))
    ready.settle()
    assert ready.status["phase"] == "Ready"


def test_a_pod_that_is_deleted_while_it_syncs_is_no_complaint(ready: World) -> None:
    pod = ready.add_pod("serve")
    ready.finish(pod, 1, incomplete(Reason.FILE_MISSING, "interrupted by SIGTERM"))
    ready.pods[pod]["metadata"]["deletionTimestamp"] = "2026-11-23T01:00:00Z"
    ready.settle()
    assert ready.status["phase"] == "Ready"


def test_a_pod_that_repairs_the_damage_itself_takes_the_complaint_back(ready: World) -> None:
    pod = ready.add_pod("serve")
    ready.finish(pod, 1, incomplete(Reason.FILE_MISSING, "gone", manifest=ready.digest))
    ready.settle(act=False)
    assert ready.status["phase"] == "Degraded"
    ready.now += 5
    ready.start(pod)
    ready.finish(pod, 0, complete(manifest=ready.digest))
    ready.settle(act=False)
    assert ready.status["phase"] == "Ready"


def test_without_jobs_the_pods_themselves_are_the_proof() -> None:
    world = World(sync={"job": {"enabled": False}})
    world.settle()
    pod = world.add_pod("serve")
    world.start(pod)
    world.settle()
    assert world.status["phase"] == "Syncing"
    world.finish(pod, 0, complete(manifest=world.digest))
    world.settle()
    assert world.status["phase"] == "Ready"


# What is said


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


# The gate and the sums


def test_pods_opened_by_an_operator_that_was_killed_are_counted_once(ready: World) -> None:
    ready.add_pod("one", gated=True)
    ready.add_pod("two", gated=True)
    ready.now += 50
    decision = ready.decide()
    ready._act(decision)  # killed before it wrote the status
    ready.settle()
    ready.settle()
    assert ready.status["gate"]["released"] == 2
    assert ready.status["gate"]["waitSeconds"] == pytest.approx(100, abs=0.1)


def test_the_gate_of_another_owner_stays(ready: World) -> None:
    ready.add_pod("one", gated=True)
    ready.settle()
    assert ready.pods["one"]["spec"]["schedulingGates"] == [{"name": "other.example/gate"}]


def test_each_run_is_counted_once(ready: World) -> None:
    pod = ready.add_pod("serve")
    ready.finish(pod, 1, incomplete(Reason.HUB_UNREACHABLE, "down", manifest=ready.digest))
    ready.settle(act=False)
    ready.now += 5
    ready.start(pod)
    ready.settle(act=False)
    ready.finish(pod, 0, complete(fetched=0, manifest=ready.digest))
    ready.settle(act=False)
    ready.settle(act=False)
    totals = ready.status["totals"]
    assert (totals["syncs"], totals["failedSyncs"]) == (3, 1)
    assert totals["bytesFetched"] == GIB
    assert totals["bytesFromCache"] == GIB
    assert totals["hubErrors"] == {"HubUnreachable": 1}
    assert sum(totals["durations"].values()) == 3
