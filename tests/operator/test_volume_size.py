"""A claim as large as the models: what the hub is asked, what follows, and what is said where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from modelcache_operator.core.volume_size import requested
from support.pure_cluster import PureCluster
from support.reports import GIB, complete, incomplete
from support.tasks import (
    DIGEST,
    HOUR,
    end_task,
    plan_report,
    task_jobs,
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


def test_a_claim_that_is_gone_under_a_sync_is_asked_for_although_that_sync_cannot_end() -> None:
    world = PureCluster(volume={"claimName": "models", **AUTO})
    world.settle()
    world.set_claim(None)
    world.settle()
    assert (next(iter(world.jobs)), task_jobs(world)) == ("cache-sync-1", ["cache-plan-1"])
    end_task(world, "plan", plan_report(10 * GIB))
    assert size_of(world) == "11Gi"
