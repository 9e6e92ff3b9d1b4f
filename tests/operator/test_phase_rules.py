"""Each rule of the phase, by a sentence: what is there, and what the status says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import timestamps
from modelcache_operator.core.phase import RULES, RULES_WITH_JOBS, RULES_WITHOUT_JOBS
from support.copies import group, report
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

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


Arrange = Callable[[], PureCluster]
Change = Callable[[PureCluster], object]


def cluster(**spec: Any) -> Arrange:
    return lambda: PureCluster(**spec)


def after(arrange: Arrange, *changes: Change) -> Arrange:
    """The operator has seen what was there before each change."""

    def arranged() -> PureCluster:
        world = arrange()
        for change in changes:
            world.settle()
            change(world)
        return world

    return arranged


def passed(seconds: float) -> Change:
    return lambda world: setattr(world, "now", world.now + seconds)


def refused(what: str, message: str) -> Change:
    return lambda world: setattr(world, what, message)


def failed(code: int, reason: Reason, message: str) -> Change:
    return lambda world: world.sync_badly(code, incomplete(reason, message))


def suspend(world: PureCluster) -> None:
    world.jobs[world.latest]["spec"]["suspend"] = True


def resync(world: PureCluster) -> None:
    world.annotate("now")


def lose_jobs(world: PureCluster) -> None:
    passed(61)(world)
    world.jobs.clear()


def proven() -> PureCluster:
    world = PureCluster()
    world.settle()
    world.sync_well(complete())
    return world


def damaged() -> PureCluster:
    world = proven()
    world.now += 100
    world.finish(world.add_pod("serve"), 1, incomplete(Reason.SIZE_MISMATCH, "model.safetensors has 3 bytes"))
    return world


def started() -> PureCluster:
    world = PureCluster()
    world.settle()
    return world


def running() -> PureCluster:
    world = started()
    world.start(world.add_pod("sync", world.latest))
    return world


def retrying() -> PureCluster:
    world = running()
    world.settle()
    world.finish("sync", 1, incomplete(Reason.HUB_UNREACHABLE, "the hub does not answer"))
    return world


def node_lost() -> PureCluster:
    world = running()
    world.settle()
    world.pods["sync"]["metadata"]["deletionTimestamp"] = timestamps.stamp(world.now)
    world.pods["sync"]["spec"]["nodeName"] = "gpu-7"
    return world


def unschedulable(claim: str = "Bound") -> PureCluster:
    world = PureCluster(claim=claim)
    world.settle()
    pod = world.add_pod("sync", world.latest)
    world.pods[pod]["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node fits."}
    ]
    return world


def waiting_for(reason: str, message: str = "") -> Arrange:
    def arrange() -> PureCluster:
        world = started()
        world.wait(world.add_pod("sync", world.latest), reason, message)
        return world

    return arrange


def by_hand(*states: Change) -> Arrange:
    def arrange() -> PureCluster:
        world = PureCluster(sync=WITHOUT_JOBS)
        world.settle()
        for number, state in enumerate(states):
            world.add_pod(f"serve-{number}")
            state(world)
        return world

    return arrange


def held() -> PureCluster:
    world = PureCluster(sync=WITHOUT_JOBS)
    world.add_pod("serve", gated=True, init=False)
    return world


def elsewhere() -> PureCluster:
    world = PureCluster(sync=WITHOUT_JOBS)
    world.add_pod("serve", claim="another")
    return world


NO_REPO = failed(2, Reason.REPO_NOT_FOUND, "no such repository")
NO_ANSWER = failed(1, Reason.HUB_UNREACHABLE, "the hub does not answer")


def copies() -> PureCluster:
    return group(2)


def copied(world: PureCluster) -> None:
    world.sync_copy("n0", report("n0"))


def damage_of_the_copy(world: PureCluster) -> None:
    world.now += 100
    world.pods[world.add_pod("serve")]["spec"]["nodeName"] = "n0"
    world.finish("serve", 1, incomplete(Reason.SIZE_MISMATCH, "too short"))


TABLE: dict[str, tuple[Arrange, Expected]] = {
    "a manifest that cannot be used is Failed until a person changes it": (
        cluster(models=[{"name": "base", "repo": "owner/small", "path": "../out"}]),
        Expected("manifest_is_refused", "Failed", "InvalidSpec", "spec.models[0].path", stalled=True),
    ),
    "a proven volume whose claim is gone is Degraded": (
        after(proven, lambda world: world.set_claim(None)),
        Expected("proven_volume_is_gone", "Degraded", "ClaimMissing", "there is no claim models"),
    ),
    "an object that the API refuses is Failed, with the API's words": (
        after(cluster(), refused("refused", "the API refuses Job cache-sync-1: exceeded quota")),
        Expected("object_is_refused", "Failed", "Refused", "exceeded quota", stalled=True),
    ),
    "a claim that is not there may yet be created": (
        cluster(claim=None),
        Expected("claim_is_unusable", "Pending", "ClaimMissing", "Create it"),
    ),
    "a claim that lost its volume waits for a person": (
        cluster(claim="Lost"),
        Expected("claim_is_unusable", "Pending", "ClaimLost", "Delete it", stalled=True),
    ),
    "a manifest without a volume waits for a person": (
        cluster(claim=None, volume={}),
        Expected("claim_is_unusable", "Pending", "NoClaim", "spec.volume.claimName", stalled=True),
    ),
    "a resync is Syncing": (
        after(proven, resync),
        Expected("resync_runs", "Syncing", "Resyncing", "every byte is verified again"),
    ),
    "a resync whose Job is suspended says so": (
        after(proven, resync, suspend),
        Expected("resync_runs", "Syncing", "JobSuspended", "Job cache-sync-2 is suspended"),
    ),
    "without the right to see nodes, copies are Pending": (
        after(copies, refused("nodes_refused", "nodes cannot be listed")),
        Expected("copies_are_hindered", "Pending", "NodesForbidden", "nodes cannot be listed", stalled=True),
    ),
    "one complete copy is Ready": (
        after(copies, copied),
        Expected("copies_are_complete", "Ready", "AllModelsVerified", "1 of 2 nodes have a complete copy"),
    ),
    "no complete copy any more is Degraded": (
        after(copies, copied, damage_of_the_copy),
        Expected("no_copy_is_complete", "Degraded", "SizeMismatch", "too short (found by pod serve)"),
    ),
    "what was proven is Ready": (
        proven,
        Expected("content_is_complete", "Ready", "AllModelsVerified", "the model is complete"),
    ),
    "a gate that may not be removed is told, and takes nothing from the cache": (
        after(proven, refused("gate_refused", "the gate of pod serve cannot be removed: webhook says no")),
        Expected("content_is_complete", "Ready", "AllModelsVerified", "webhook says no"),
    ),
    "an owner reference that is refused is told, and takes nothing from the cache": (
        after(proven, refused("owner_refused", "the owner reference of claim models cannot be changed: forbidden")),
        Expected("content_is_complete", "Ready", "AllModelsVerified", "owner reference of claim models"),
    ),
    "damage that a pod found is Degraded and names the pod": (
        damaged,
        Expected("content_is_damaged", "Degraded", "SizeMismatch", "3 bytes (found by pod serve)"),
    ),
    "a repair that does not start says why": (
        after(damaged, passed(100)),
        Expected("content_is_damaged", "Degraded", "SizeMismatch", "The next sync does not start: Job cache-sync-2"),
    ),
    "a Job that failed for a cause that stays is Failed and waits for a person": (
        after(cluster(), NO_REPO),
        Expected("last_job_failed", "Failed", "RepoNotFound", "no such repository. Next attempt at", stalled=True),
    ),
    "so it is once its Job and pods are gone": (
        after(cluster(), NO_REPO, lambda world: world.forget_job(world.latest)),
        Expected("last_job_failed", "Failed", "RepoNotFound", "no such repository. Next attempt at", stalled=True),
    ),
    "a Job that failed for a cause that may pass is Failed and is tried again": (
        after(cluster(), NO_ANSWER),
        Expected("last_job_failed", "Failed", "HubUnreachable", "Next attempt at"),
    ),
    "a retry that does not start says why": (
        after(cluster(), NO_ANSWER, passed(11), passed(100)),
        Expected("last_job_failed", "Failed", "HubUnreachable", "The next sync does not start: Job cache-sync-2"),
    ),
    "a token that the hub refuses is named by its Secret": (
        after(cluster(auth={"secretName": "hub", "key": "hf"}), failed(2, Reason.GATED_REPO, "access is restricted")),
        Expected("last_job_failed", "Failed", "GatedRepo", "The token is 'hf' in Secret hub", stalled=True),
    ),
    "a hub that wants a token is told that none is sent": (
        after(cluster(), failed(2, Reason.TOKEN_INVALID, "the hub refuses")),
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
        after(node_lost, suspend),
        Expected("sync_has_started", "Syncing", "JobSuspended", "is suspended"),
    ),
    "a Job that a queue suspended is Pending": (
        after(cluster(), suspend),
        Expected("job_pod_is_hindered", "Pending", "JobSuspended", "Kueue"),
    ),
    "a Job without a pod for half a minute says where to look": (
        after(cluster(), passed(30)),
        Expected("job_pod_is_hindered", "Pending", "JobWithoutPod", "kubectl describe job cache-sync-1"),
    ),
    "a pod that fits no node is Pending": (
        unschedulable,
        Expected("job_pod_is_hindered", "Pending", "Unschedulable", "no node fits. Check"),
    ),
    "a claim without a volume speaks before its pod": (
        after(lambda: unschedulable("Pending"), passed(61)),
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
        after(cluster(), passed(28)),
        Expected("job_pod_is_starting", "Pending", "PodStarting", "kubectl describe job cache-sync-1"),
    ),
    "a pod that is being created is starting": (
        waiting_for("ContainerCreating"),
        Expected("job_pod_is_starting", "Pending", "PodStarting", "pod sync is starting (ContainerCreating)"),
    ),
    "a claim that is pending for a moment is Pending": (
        cluster(claim="Pending"),
        Expected("job_pod_is_starting", "Pending", "ClaimPending", "is bound to it yet"),
    ),
    "a claim that stays pending says where to look": (
        after(cluster(claim="Pending"), lose_jobs),
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
def test_a_rule_says(arrange: Arrange, expected: Expected) -> None:
    world = arrange()
    world.settle()
    ready, stalled, reconciling = (world.condition(each) for each in ("Ready", "Stalled", "Reconciling"))
    assert (world.status["phase"], ready["reason"]) == (expected.phase, expected.reason)
    assert expected.said in world.status["message"]
    assert (stalled["status"] == "True") is expected.stalled
    both = expected.rule == "copies_are_complete"  # pods can start, and other copies are to come
    assert [each["status"] for each in (ready, stalled, reconciling)].count("True") == 1 + both
    assert ".. " not in world.status["message"]
    world.now += 1
    before = world.status
    world.settle()
    assert world.status == before, "the clock alone writes no status"


def test_every_rule_is_in_the_table() -> None:
    rules = {rule.__name__ for rule in (*RULES, *RULES_WITH_JOBS, *RULES_WITHOUT_JOBS)}
    assert {expected.rule for _, expected in TABLE.values()} == rules
