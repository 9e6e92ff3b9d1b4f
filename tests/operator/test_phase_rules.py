"""Each rule of the phase, by a sentence: what is there, and what the status says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names, timestamps
from modelcache_operator.core.phase import RULES, RULES_WITH_JOBS, RULES_WITHOUT_JOBS
from support.reports import complete, incomplete
from support.world import World

Json = dict[str, Any]

WITHOUT_JOBS: Json = {"job": {"enabled": False}}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the status says."""

    rule: str
    phase: str
    reason: str
    said: str
    """A part of the message."""
    stalled: bool = False


def wrong_manifest() -> World:
    return World(models=[{"name": "base", "repo": "owner/small", "path": "../out"}])


def proven() -> World:
    world = World()
    world.settle()
    world.sync_well(complete())
    return world


def proven_then_claim_gone() -> World:
    world = proven()
    world.set_claim(None)
    return world


def refused() -> World:
    world = World()
    world.refused = "the API refuses Job cache-sync-1: exceeded quota"
    return world


def no_claim() -> World:
    return World(claim=None)


def claim_lost() -> World:
    return World(claim="Lost")


def no_claim_named() -> World:
    return World(claim=None, volume={})


def resync() -> World:
    world = proven()
    world.annotate("now")
    return world


def resync_suspended() -> World:
    world = resync()
    world.settle()
    world.jobs[world.latest]["spec"]["suspend"] = True
    return world


def gate_refused() -> World:
    world = proven()
    world.gate_refused = "the gate of pod serve cannot be removed: webhook says no"
    return world


def owner_refused() -> World:
    world = proven()
    world.owner_refused = "the owner reference of claim models cannot be changed: forbidden"
    return world


def damaged() -> World:
    world = proven()
    world.now += 100
    world.finish(world.add_pod("serve"), 1, incomplete(Reason.SIZE_MISMATCH, "model.safetensors has 3 bytes"))
    return world


def damaged_and_repair_without_pod() -> World:
    world = damaged()
    world.settle()
    world.now += 100
    return world


def failed_for_good() -> World:
    world = World()
    world.settle()
    world.sync_badly(2, incomplete(Reason.REPO_NOT_FOUND, "no such repository"))
    return world


def failed_for_now() -> World:
    world = World()
    world.settle()
    world.sync_badly(1, incomplete(Reason.HUB_UNREACHABLE, "the hub does not answer"))
    return world


def failed_and_gone() -> World:
    world = failed_for_good()
    world.settle()
    world.forget_job(world.latest)
    return world


def retried_without_pod() -> World:
    world = failed_for_now()
    world.now += 11
    world.settle()
    world.now += 100
    return world


def token_refused() -> World:
    world = World(auth={"secretName": "hub", "key": "hf"})
    world.settle()
    world.sync_badly(2, incomplete(Reason.GATED_REPO, "access is restricted"))
    return world


def token_missing() -> World:
    world = World()
    world.settle()
    world.sync_badly(2, incomplete(Reason.TOKEN_INVALID, "the hub refuses"))
    return world


def started() -> World:
    world = World()
    world.settle()
    return world


def running() -> World:
    world = started()
    world.start(world.add_pod("sync", world.latest))
    return world


def retrying() -> World:
    world = running()
    world.settle()
    world.finish("sync", 1, incomplete(Reason.HUB_UNREACHABLE, "the hub does not answer"))
    return world


def node_lost() -> World:
    world = running()
    world.settle()
    world.pods["sync"]["metadata"]["deletionTimestamp"] = timestamps.stamp(world.now)
    world.pods["sync"]["spec"]["nodeName"] = "gpu-7"
    return world


def suspended() -> World:
    world = started()
    world.jobs[world.latest]["spec"]["suspend"] = True
    return world


def suspended_with_a_pod_that_ends() -> World:
    world = node_lost()
    world.jobs[world.latest]["spec"]["suspend"] = True
    return world


def no_pod() -> World:
    world = started()
    world.now += 28
    return world


def no_pod_for_long() -> World:
    world = started()
    world.now += 30
    return world


def unschedulable(claim: str = "Bound") -> World:
    world = World(claim=claim)
    world.settle()
    pod = world.add_pod("sync", world.latest)
    world.pods[pod]["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node fits."}
    ]
    return world


def unbound_and_unschedulable() -> World:
    world = unschedulable("Pending")
    world.now += 61
    return world


def waiting_for(reason: str, message: str = "") -> Callable[[], World]:
    def arrange() -> World:
        world = started()
        world.wait(world.add_pod("sync", world.latest), reason, message)
        return world

    return arrange


def claim_pending() -> World:
    world = World(claim="Pending")
    world.settle()
    return world


def claim_pending_for_long() -> World:
    world = claim_pending()
    world.now += 61
    world.jobs.clear()
    return world


def by_hand(*states: Callable[[World], None]) -> Callable[[], World]:
    def arrange() -> World:
        world = World(sync=WITHOUT_JOBS)
        world.settle()
        for number, state in enumerate(states):
            world.add_pod(f"serve-{number}")
            state(world)
        return world

    return arrange


def held() -> World:
    world = World(sync=WITHOUT_JOBS)
    world.add_pod("serve", gated=True)
    return world


def elsewhere() -> World:
    world = World(sync=WITHOUT_JOBS)
    world.add_pod("serve", claim="another")
    return world


TABLE: dict[str, tuple[Callable[[], World], Expected]] = {
    "a manifest that cannot be used is Failed until a person changes it": (
        wrong_manifest,
        Expected("manifest_is_refused", "Failed", "InvalidSpec", "spec.models[0].path", stalled=True),
    ),
    "a proven volume whose claim is gone is Degraded": (
        proven_then_claim_gone,
        Expected("proven_volume_is_gone", "Degraded", "ClaimMissing", "there is no claim models"),
    ),
    "an object that the API refuses is Failed, with the API's words": (
        refused,
        Expected("object_is_refused", "Failed", "Refused", "exceeded quota", stalled=True),
    ),
    "a claim that is not there may yet be created": (
        no_claim,
        Expected("claim_is_unusable", "Pending", "ClaimMissing", "Create it"),
    ),
    "a claim that lost its volume waits for a person": (
        claim_lost,
        Expected("claim_is_unusable", "Pending", "ClaimLost", "Delete it", stalled=True),
    ),
    "a manifest without a volume waits for a person": (
        no_claim_named,
        Expected("claim_is_unusable", "Pending", "NoClaim", "spec.volume.claimName", stalled=True),
    ),
    "a resync is Syncing": (
        resync,
        Expected("resync_runs", "Syncing", "Resyncing", "every byte is verified again"),
    ),
    "a resync whose Job is suspended says so": (
        resync_suspended,
        Expected("resync_runs", "Syncing", "JobSuspended", "Job cache-sync-2 is suspended"),
    ),
    "what was proven is Ready": (
        proven,
        Expected("content_is_complete", "Ready", "AllModelsVerified", "the model is complete"),
    ),
    "a gate that may not be removed is told, and takes nothing from the cache": (
        gate_refused,
        Expected("content_is_complete", "Ready", "AllModelsVerified", "webhook says no"),
    ),
    "an owner reference that is refused is told, and takes nothing from the cache": (
        owner_refused,
        Expected("content_is_complete", "Ready", "AllModelsVerified", "owner reference of claim models"),
    ),
    "damage that a pod found is Degraded and names the pod": (
        damaged,
        Expected("content_is_damaged", "Degraded", "SizeMismatch", "3 bytes (found by pod serve)"),
    ),
    "a repair that does not start says why": (
        damaged_and_repair_without_pod,
        Expected("content_is_damaged", "Degraded", "SizeMismatch", "The next sync does not start: Job cache-sync-2"),
    ),
    "a Job that failed for a cause that stays is Failed and waits for a person": (
        failed_for_good,
        Expected("last_job_failed", "Failed", "RepoNotFound", "no such repository. Next attempt at", stalled=True),
    ),
    "so it is once its Job and pods are gone": (
        failed_and_gone,
        Expected("last_job_failed", "Failed", "RepoNotFound", "no such repository. Next attempt at", stalled=True),
    ),
    "a Job that failed for a cause that may pass is Failed and is tried again": (
        failed_for_now,
        Expected("last_job_failed", "Failed", "HubUnreachable", "Next attempt at"),
    ),
    "a retry that does not start says why": (
        retried_without_pod,
        Expected("last_job_failed", "Failed", "HubUnreachable", "The next sync does not start: Job cache-sync-2"),
    ),
    "a token that the hub refuses is named by its Secret": (
        token_refused,
        Expected("last_job_failed", "Failed", "GatedRepo", "The token is 'hf' in Secret hub", stalled=True),
    ),
    "a hub that wants a token is told that none is sent": (
        token_missing,
        Expected("last_job_failed", "Failed", "TokenInvalid", "No token is sent", stalled=True),
    ),
    "a sync container that runs is Syncing": (
        running,
        Expected("sync_has_started", "Syncing", "Syncing", "pod sync syncs"),
    ),
    "a sync that failed once is Syncing while its Job goes on": (
        retrying,
        Expected("sync_has_started", "Syncing", "HubUnreachable", "retrying: "),
    ),
    "a pod that is being deleted does not sync": (
        node_lost,
        Expected("sync_has_started", "Syncing", "PodTerminating", "on node gpu-7"),
    ),
    "a Job that was suspended in the middle says so, not that its pod ends": (
        suspended_with_a_pod_that_ends,
        Expected("sync_has_started", "Syncing", "JobSuspended", "is suspended"),
    ),
    "a Job that a queue suspended is Pending": (
        suspended,
        Expected("job_pod_is_hindered", "Pending", "JobSuspended", "Kueue"),
    ),
    "a Job without a pod for half a minute says where to look": (
        no_pod_for_long,
        Expected("job_pod_is_hindered", "Pending", "JobWithoutPod", "kubectl describe job cache-sync-1"),
    ),
    "a pod that fits no node is Pending": (
        unschedulable,
        Expected("job_pod_is_hindered", "Pending", "Unschedulable", "no node fits. Check"),
    ),
    "a claim without a volume speaks before its pod": (
        unbound_and_unschedulable,
        Expected("job_pod_is_hindered", "Pending", "ClaimNotBound", "kubectl describe persistentvolumeclaim models"),
    ),
    "an image that cannot be pulled is Pending": (
        waiting_for("ImagePullBackOff", "not found"),
        Expected("job_pod_is_hindered", "Pending", "ImagePullFailed", "ImagePullBackOff (not found)"),
    ),
    "a Secret that is missing is Pending": (
        waiting_for("CreateContainerConfigError", 'secret "hf" not found'),
        Expected("job_pod_is_hindered", "Pending", "ContainerConfigError", 'secret "hf" not found'),
    ),
    "a Job without a pod for a moment is starting": (
        no_pod,
        Expected("job_pod_is_starting", "Pending", "PodStarting", "kubectl describe job cache-sync-1"),
    ),
    "a pod that is being created is starting": (
        waiting_for("ContainerCreating"),
        Expected("job_pod_is_starting", "Pending", "PodStarting", "pod sync is starting (ContainerCreating)"),
    ),
    "a claim that is pending for a moment is Pending": (
        claim_pending,
        Expected("job_pod_is_starting", "Pending", "ClaimPending", "is bound to it yet"),
    ),
    "a claim that stays pending says where to look": (
        claim_pending_for_long,
        Expected("job_pod_is_starting", "Pending", "ClaimNotBound", "kubectl describe persistentvolumeclaim"),
    ),
    "without Jobs, a user's pod that syncs is Syncing": (
        by_hand(lambda world: world.start("serve-0")),
        Expected("users_pod_syncs", "Syncing", "Syncing", "pod serve-0 syncs"),
    ),
    "without Jobs, a user's pod that failed for good is Failed": (
        by_hand(lambda world: world.finish("serve-0", 2, incomplete(Reason.DISK_FULL, "no room"))),
        Expected("users_pod_failed", "Failed", "DiskFull", "no room", stalled=True),
    ),
    "without Jobs, a report that names no manifest proves nothing": (
        by_hand(lambda world: world.finish("serve-0", 0, complete())),
        Expected("users_pod_names_no_manifest", "Pending", "ManifestUnknown", "does not name the manifest"),
    ),
    "without Jobs, a user's pod that cannot start says why": (
        by_hand(lambda world: world.wait("serve-0", "ErrImagePull")),
        Expected("users_pod_is_hindered", "Pending", "ImagePullFailed", "ErrImagePull"),
    ),
    "without Jobs, pods that all wait at the gate cannot sync": (
        held,
        Expected("users_pods_cannot_sync", "Pending", "PodsGated", "pod serve waits at the gate"),
    ),
    "without Jobs, a pod that does not mount the claim cannot sync": (
        elsewhere,
        Expected("users_pods_cannot_sync", "Pending", "ClaimNotMounted", "does not mount claim models"),
    ),
    "without Jobs and pods it waits for one": (
        by_hand(),
        Expected("no_pod_has_synced", "Pending", "WaitingForPod", "no pod has synced"),
    ),
}


@pytest.mark.parametrize(("arrange", "expected"), TABLE.values(), ids=TABLE)
def test_a_rule_says(arrange: Callable[[], World], expected: Expected) -> None:
    world = arrange()
    world.settle()
    ready, stalled, reconciling = (world.condition(each) for each in ("Ready", "Stalled", "Reconciling"))
    assert (world.status["phase"], ready["reason"]) == (expected.phase, expected.reason)
    assert expected.said in world.status["message"]
    assert (stalled["status"] == "True") is expected.stalled
    assert [each["status"] for each in (ready, stalled, reconciling)].count("True") == 1
    assert ".. " not in world.status["message"]
    world.now += 1
    before = world.status
    world.settle()
    assert world.status == before, "the clock alone writes no status"


def test_every_rule_is_in_the_table() -> None:
    rules = {rule.__name__ for rule in (*RULES, *RULES_WITH_JOBS, *RULES_WITHOUT_JOBS)}
    assert {expected.rule for _, expected in TABLE.values()} == rules


def test_a_suspended_job_is_not_replaced_and_goes_on_when_it_is_resumed() -> None:
    world = suspended()
    world.settle()
    assert list(world.jobs) == ["cache-sync-1"]
    world.jobs["cache-sync-1"]["spec"]["suspend"] = False
    world.sync_well(complete())
    assert world.status["phase"] == "Ready"


def test_the_operator_looks_again_when_a_job_has_had_no_pod_for_long_enough() -> None:
    world = started()
    wake = world.decide().wake_at
    assert wake is not None
    world.now = wake
    world.settle()
    assert world.condition("Complete")["reason"] == "JobWithoutPod"


def test_a_pod_at_the_gate_is_told_what_it_waits_for_once_it_has_waited_a_moment() -> None:
    world = started()
    world.add_pod("serve", gated=True)
    assert world.decide().notify_waiting == ()
    wake = world.decide().wake_at
    assert wake is not None
    world.now = wake
    assert [pod.name for pod in world.decide().notify_waiting] == ["serve"]
    world.sync_well(complete())
    assert world.decide().notify_waiting == ()


def test_pods_in_use_are_counted_by_the_commits_that_they_found() -> None:
    world = proven()
    for name, commit in (("old", "a" * 40), ("new", None)):
        report = complete()
        if commit:
            report["models"][0]["commit"] = commit
        world.finish(world.add_pod(name), 0, report)
    world.add_pod("waits")
    gateless = world.add_pod("bare")
    del world.pods[gateless]["spec"]["initContainers"]
    world.pods[gateless]["metadata"]["annotations"] = {names.COMMIT_ANNOTATION: "a" * 40}
    world.pods[gateless]["spec"]["nodeName"] = "node"
    world.settle()
    current = world.status["models"][0]["commit"]
    assert world.status["pods"] == {
        "waiting": 0,
        "started": 3,
        "outdated": 2,
        "commits": [{"commit": "a" * 40, "pods": 2}, {"commit": current, "pods": 1}],
    }
