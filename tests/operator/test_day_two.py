"""What tasks are for: a claim of the right size, damage found, updates told, files removed that nothing needs."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from modelcache_operator.core.volume_size import requested
from support.copies import fill, group
from support.pure_cluster import PureCluster
from support.reports import COMMIT, GIB, complete, incomplete
from support.tasks import (
    DIGEST,
    HOUR,
    NEWER,
    WEEK,
    damage,
    end_task,
    plan_report,
    synced,
    task_jobs,
    use,
    wait_until_due,
)

Json = dict[str, Any]
AUTO: Json = {"create": {"size": "auto"}}


def size_of(world: PureCluster) -> str:
    assert world.claim is not None
    return str(world.claim["spec"]["resources"]["requests"]["storage"])


def synced_auto(**create: Any) -> PureCluster:
    """A complete cache on a claim of 11Gi."""
    world = PureCluster(None, volume={"create": {"size": "auto", **create}})
    world.settle()
    end_task(world, "plan", plan_report(10 * GIB))
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    return world


# Size


@pytest.mark.parametrize(
    ("size", "headroom", "expected"),
    [
        (10 * GIB, 10, "11Gi"),
        (10 * GIB, 0, "10Gi"),
        (10 * GIB + 1, 0, "11Gi"),
        (1, 0, "1Gi"),
        (GIB // 2, 100, "1Gi"),
        (100 * GIB, 250, "350Gi"),
        (2**53 - 1, 10, "9227469Gi"),
    ],
)
def test_the_size_is_the_bytes_and_the_headroom_in_whole_gibibytes(size: int, headroom: int, expected: str) -> None:
    assert requested(size, headroom) == expected


def test_the_claim_is_created_as_large_as_the_hub_says() -> None:
    world = PureCluster(None, volume=AUTO)
    world.settle()
    assert (world.status["phase"], world.reasons[-1][1]) == ("Pending", "ClaimSizing")
    assert (world.claim, list(world.jobs)) == (None, ["cache-plan-1"])
    assert world.config is not None
    end_task(world, "plan", plan_report(10 * GIB))
    assert size_of(world) == "11Gi"
    assert {key: world.status["size"][key] for key in ("bytes", "requested")} == {
        "bytes": 10 * GIB,
        "requested": "11Gi",
    }
    assert "Normal ClaimSized the models need 10.0Gi, so claim cache is to have 11Gi" in world.notices
    assert world.latest == "cache-sync-1"


@pytest.mark.parametrize(
    ("reason", "code", "stalled"),
    [
        (Reason.GATED_REPO, 2, True),
        (Reason.REPO_NOT_FOUND, 2, True),
        (Reason.HUB_UNREACHABLE, 1, False),
        (Reason.RATE_LIMITED, 1, False),
    ],
)
def test_a_hub_that_does_not_say_it_is_told_as_in_a_sync(reason: Reason, code: int, stalled: bool) -> None:
    world = PureCluster(None, volume=AUTO)
    world.settle()
    end_task(world, "plan", incomplete(reason, "why not", manifest=world.digest), code=code)
    assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Pending", str(reason))
    assert world.status["message"].startswith("base: why not")
    assert "Next attempt at" in world.status["message"]
    assert (world.condition("Stalled")["status"] == "True") is stalled
    assert world.claim is None
    for _ in range(3):
        world.now += 3 * HOUR
        world.settle()
        end_task(world, "plan", incomplete(reason, "why not"), code=code)
    world.change_spec(allowPickles=False)
    world.settle()
    assert len(task_jobs(world)) == 1, "what was changed may be the cure"
    end_task(world, "plan", plan_report(10 * GIB))
    assert size_of(world) == "11Gi"


def test_an_image_that_cannot_be_pulled_is_told() -> None:
    world = PureCluster(None, volume=AUTO)
    world.settle()
    pod = world.add_pod("stuck", "cache-plan-1", claim="none")
    world.wait(pod, "ImagePullBackOff", "no such image")
    world.settle()
    assert world.condition("Complete")["reason"] == "ImagePullFailed"


def test_a_job_that_is_refused_is_told() -> None:
    world = PureCluster(None, volume=AUTO)
    world.task_refused = "exceeded quota"
    world.settle()
    assert (world.condition("Complete")["reason"], world.status["message"]) == ("Refused", "exceeded quota")


def test_reports_that_disagree_say_nothing() -> None:
    world = PureCluster(None, volume=AUTO)
    world.settle()
    forged = world.add_pod("forged", "cache-plan-1", claim="none")
    world.pods[forged]["metadata"]["labels"][names.TASK_LABEL] = "plan"
    world.finish(forged, 0, plan_report(10_000 * GIB))
    end_task(world, "plan", plan_report(10 * GIB))
    assert world.claim is None
    assert world.condition("Complete")["reason"] == "TaskFailed"


def test_more_content_enlarges_the_claim_before_it_is_synced_and_less_never_shrinks_it() -> None:
    world = synced_auto()
    for size, expected in ((20, "22Gi"), (5, "22Gi")):
        world.change_spec(models=[{"name": "base", "repo": f"owner/large-{size}", "path": "base"}])
        world.settle()
        assert [world.jobs[job]["metadata"]["labels"][names.TASK_LABEL] for job in task_jobs(world)] == ["plan"]
        assert world.condition("Complete")["reason"] == "ClaimSizing"
        before = world.latest
        end_task(world, "plan", plan_report(size * GIB))
        assert size_of(world) == expected
        assert world.latest != before
        world.sync_well(complete(digest=DIGEST, manifest=world.digest))
        assert world.condition("VolumeReady")["reason"] == "ClaimBound"


def test_more_headroom_enlarges_it_without_a_question() -> None:
    world = synced_auto()
    world.change_spec(volume={"create": {"size": "auto", "headroom": "50%"}})
    world.settle()
    assert (size_of(world), task_jobs(world)) == ("15Gi", [])


def test_where_it_cannot_grow_the_condition_and_an_event_say_how_much_and_how() -> None:
    world = synced_auto()
    world.change_spec(models=[{"name": "base", "repo": "owner/large", "path": "base"}])
    world.settle()
    world.size_refused = "only dynamically provisioned pvc can be resized"
    end_task(world, "plan", plan_report(20 * GIB))
    condition = world.condition("VolumeReady")
    assert condition["reason"] == "ClaimDiffers"
    assert "it requests 11Gi, and spec.volume.create.size comes to 22Gi" in condition["message"]
    assert "Allow expansion" in condition["message"]
    assert len([each for each in world.notices if each.startswith("Warning ClaimTooSmall")]) == 1


def test_a_resync_asks_first_and_goes_on_whatever_comes_of_it() -> None:
    world = synced_auto()
    world.annotate("1")
    world.settle()
    assert (world.status["phase"], task_jobs(world)) == ("Ready", ["cache-plan-2"])
    end_task(world, "plan", incomplete(Reason.HUB_UNREACHABLE, "away"), code=1)
    assert world.status["phase"] == "Syncing"
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    assert (world.status["phase"], size_of(world)) == ("Ready", "11Gi")


def test_a_claim_that_was_there_before_is_used_as_it_is() -> None:
    world = PureCluster(volume={"claimName": "models", **AUTO})
    world.settle()
    assert list(world.jobs) == ["cache-sync-1"]


def test_a_claim_that_is_gone_is_created_again_without_a_question() -> None:
    world = synced_auto()
    world.set_claim(None)
    world.settle()
    assert size_of(world) == "11Gi"
    assert task_jobs(world) == []


# Scrub


def test_damage_that_a_scrub_finds_is_repaired_by_a_sync() -> None:
    world = synced(scrub={})
    for number in range(7):
        use(world, f"serve-{number}", "a")
    wait_until_due(world, "scrub")
    end_task(world, "scrub", damage(world), code=1)
    assert (world.status["phase"], world.condition("Complete")["reason"]) == ("Degraded", "ChecksumMismatch")
    message = world.status["message"]
    assert "weights.safetensors differs" in message
    assert "serve-0, serve-1, serve-2, serve-3, serve-4 and 2 more" in message
    assert message.count("It is in use by") == 1
    assert "Warning DamageFound ChecksumMismatch" in world.notices
    world.now += 60
    world.settle()
    world.now += 1
    world.settle()
    assert world.status["message"].count("It is in use by") <= 1
    assert world.latest == "cache-sync-2"
    assert "--verify" not in str(world.jobs["cache-sync-2"])
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    assert world.status["phase"] == "Ready"
    assert task_jobs(world) == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1, Reason.INTERRUPTED), (1, Reason.INTERNAL_ERROR), (1, Reason.WAITING_FOR_LOCK), (2, Reason.INVALID_SPEC)],
)
def test_a_scrub_that_ends_for_another_reason_says_nothing_of_the_volume(code: int, reason: Reason) -> None:
    world = synced(scrub={})
    wait_until_due(world, "scrub")
    end_task(world, "scrub", incomplete(reason, "no", manifest=world.digest), code=code)
    assert world.status["phase"] == "Ready"
    assert world.status["scrub"]["job"]["reason"] == str(reason)


def test_damage_of_one_copy_takes_the_proof_from_that_copy_alone() -> None:
    world = fill(group(2))
    world.change_spec(scrub={"every": "1h"})
    world.now += 3 * HOUR
    world.settle()
    world.now += HOUR / 10
    world.settle()
    end_task(world, "scrub", damage(world), code=1)
    assert (world.status["phase"], world.status["summary"]["nodes"]) == ("Ready", "1/2")
    assert world.status["copies"][0]["reason"] == "ChecksumMismatch"


def test_a_scrub_moves_the_time_of_the_last_verification_and_nothing_else() -> None:
    world = synced(scrub={})
    before = world.status
    wait_until_due(world, "scrub")
    report = complete(digest=DIGEST, manifest=world.digest, fetched=0)
    report["models"][0]["verifiedAt"] = "2027-01-01T00:00:00Z"
    job = end_task(world, "scrub", report)
    assert world.status["verifiedAt"] == "2027-01-01T00:00:00Z"
    same = ("bytesFetched", "bytesTotal", "reportedAt")
    assert {key: world.status.get(key) for key in same} == {key: before.get(key) for key in same}
    world.forget_job(job)
    world.settle()
    assert world.status["verifiedAt"] == "2027-01-01T00:00:00Z", "it is remembered"
    assert "Normal ScrubFinished every file was read again between" in " ".join(world.notices)


# Updates


@pytest.fixture
def checked() -> PureCluster:
    return synced(updates={"check": "24h"})


def test_a_branch_that_has_moved_is_told_and_a_resync_takes_it(checked: PureCluster) -> None:
    assert checked.condition("UpdateAvailable")["status"] == "False"
    wait_until_due(checked, "updates")
    pins = checked.jobs["cache-plan-1"]["spec"]["template"]["metadata"]["annotations"][names.PINS_ANNOTATION]
    assert COMMIT in pins
    end_task(checked, "plan", plan_report(commit=NEWER, to_fetch=3 * GIB))
    condition = checked.condition("UpdateAvailable")
    assert (condition["status"], condition["reason"]) == ("True", "UpdateAvailable")
    assert "base to fedcba987654; 3.0Gi to fetch" in condition["message"]
    assert "modelcache.dev/resync" in condition["message"]
    assert (checked.status["updates"]["commits"], checked.status["updates"]["bytes"]) == ({"base": NEWER}, 3 * GIB)
    assert checked.status["phase"] == "Ready"
    assert list(checked.jobs) == ["cache-sync-1", "cache-plan-1"], "nothing moves by itself"
    checked.annotate("1")
    checked.settle()
    report = complete(digest=DIGEST, manifest=checked.digest)
    report["models"][0]["commit"] = NEWER
    checked.sync_well(report)
    assert checked.condition("UpdateAvailable")["status"] == "False"
    assert "commits" not in checked.status["updates"]


def test_it_is_told_once_and_again_for_another_commit(checked: PureCluster) -> None:
    for commit in (NEWER, NEWER, COMMIT[::-1]):
        wait_until_due(checked, "updates")
        end_task(checked, "plan", plan_report(commit=commit))
    assert len([each for each in checked.notices if each.startswith("Normal UpdateAvailable")]) == 2


def test_a_branch_that_has_not_moved_is_up_to_date(checked: PureCluster) -> None:
    wait_until_due(checked, "updates")
    end_task(checked, "plan", plan_report())
    assert checked.condition("UpdateAvailable")["reason"] == "UpToDate"
    assert checked.status["updates"]["checkedAt"] in checked.condition("UpdateAvailable")["message"]


def test_a_plan_that_names_no_commit_says_nothing(checked: PureCluster) -> None:
    wait_until_due(checked, "updates")
    end_task(checked, "plan", {"bytesToFetch": 0})
    assert checked.condition("UpdateAvailable")["status"] == "Unknown"


def test_models_that_are_pinned_to_a_commit_are_never_asked_for() -> None:
    model = {"name": "base", "repo": "owner/small", "path": "base", "revision": COMMIT}
    world = synced(updates={"check": "24h"}, models=[model])
    world.now += WEEK
    world.settle()
    assert task_jobs(world) == []
    assert world.condition("UpdateAvailable")["reason"] == "UpToDate"


# Prune


def pruned(world: PureCluster) -> list[str]:
    return [name for name in world.jobs if "-prune-" in name]


def test_after_each_proof_of_other_content_what_it_left_is_removed_once() -> None:
    world = synced(volume={"claimName": "models", "prune": True})
    end_task(world, "prune", {"cache": "cache", "bytesFreed": 0})
    assert len(pruned(world)) == 1
    world.annotate("1")
    world.settle()
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    assert len(pruned(world)) == 1, "the same commit leaves nothing"
    world.annotate("2")
    world.settle()
    report = complete(digest=DIGEST, manifest=world.digest, bytesUnused=5 * GIB)
    report["models"][0]["commit"] = NEWER
    world.sync_well(report)
    assert world.status["prune"]["bytesUnused"] == 5 * GIB
    end_task(world, "prune", {"cache": "cache", "bytesFreed": 5 * GIB})
    assert "Normal Pruned 5.0Gi of files that nothing needs any more were removed" in world.notices
    assert (world.status["prune"]["bytesFreed"], world.status["prune"]["bytesUnused"]) == (5 * GIB, 0)
    world.now += WEEK
    world.settle()
    assert len(pruned(world)) == 2


def test_a_report_that_there_is_nothing_saves_the_job() -> None:
    world = PureCluster(volume={"claimName": "models", "prune": True})
    world.settle()
    world.sync_well(complete(digest=DIGEST, manifest=world.digest, bytesUnused=0))
    assert pruned(world) == []


@pytest.mark.parametrize(
    ("found", "waits"),
    [
        ("older commit", True),
        ("older manifest", True),
        ("no report", True),
        ("the same", False),
        ("not started", False),
    ],
)
def test_it_waits_for_pods_that_may_use_older_files(found: str, waits: bool) -> None:
    world = PureCluster(volume={"claimName": "models", "prune": True})
    world.add_pod("old")
    report = complete(manifest=world.digest)
    if found == "older commit":
        report["models"][0]["commit"] = NEWER
    if found == "older manifest":
        report["manifest"] = f"sha256:{'0' * 64}"
    if found != "not started":
        world.finish("old", 0, "" if found == "no report" else report)
    world.now += 10
    world.settle()
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    assert (pruned(world) == []) is waits
    assert world.status["prune"]["waitingForPods"] == int(waits)
    if waits:
        del world.pods["old"]
        world.settle()
        assert len(pruned(world)) == 1


def test_copies_are_pruned_one_node_after_the_other() -> None:
    world = fill(group(2))
    world.change_spec(volume={**world.cache["spec"]["volume"], "prune": True})
    world.settle()
    nodes = []
    while jobs := task_jobs(world, "prune"):
        nodes.append(world.jobs[jobs[0]]["metadata"]["annotations"][names.NODE_ANNOTATION])
        end_task(world, "prune", {"bytesFreed": 1})
    assert nodes == ["n0", "n1"]


def test_a_sync_whose_report_is_lost_is_followed_by_a_prune() -> None:
    world = synced(volume={"claimName": "models", "prune": True})
    end_task(world, "prune", {"bytesFreed": 1})
    assert world.status["prune"]["bytesUnused"] == 0
    world.annotate("1")
    world.settle()
    report = complete(digest=DIGEST, manifest=world.digest)
    report["models"][0]["commit"] = NEWER
    world.sync_well(report)
    assert len(task_jobs(world, "prune")) == 1


def test_a_last_node_that_fails_begins_no_further_round() -> None:
    world = fill(group(2))
    world.change_spec(scrub={"every": "1h"}, volume={**world.cache["spec"]["volume"], "prune": True})
    world.settle()
    for command in ("prune", "scrub"):
        while not task_jobs(world, command):
            world.now += HOUR
            world.settle()
        end_task(world, command, complete(manifest=world.digest))
        end_task(world, command, code=137)
        world.now += 120
        world.settle()
        assert task_jobs(world, command) == []
    assert world.status["scrub"]["finishedAt"]


def test_what_prune_would_free_is_told_without_prune() -> None:
    world = PureCluster()
    world.settle()
    world.sync_well(complete(manifest=world.digest, bytesUnused=7))
    assert world.status["prune"]["bytesUnused"] == 7
