"""What tasks are for: damage found, updates told, files removed that nothing needs."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
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
