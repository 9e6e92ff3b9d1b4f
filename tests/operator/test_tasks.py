"""Jobs that are no syncs: which one is due and where, and that they are in nobody's way."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names, timestamps
from support.copies import fill, group
from support.podsecurity import restricted_problems
from support.pure_cluster import START, PureCluster
from support.reports import complete, incomplete
from support.tasks import (
    DAY,
    DIGEST,
    HOUR,
    WEEK,
    damage,
    end_task,
    plan_report,
    start_task,
    synced,
    task_jobs,
    use,
    wait_until_due,
)

Json = dict[str, Any]


def arguments(world: PureCluster, job: str) -> list[str]:
    found: list[str] = world.jobs[job]["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


@pytest.fixture
def scrubbed() -> PureCluster:
    return synced(scrub={"every": "168h", "rate": "20Mi"})


@pytest.fixture
def checked() -> PureCluster:
    return synced(updates={"check": "24h"})


# When


def test_without_the_fields_there_is_no_task(ready: PureCluster) -> None:
    ready.now += 100 * WEEK
    ready.settle()
    assert len(ready.jobs) == 1
    assert not {"size", "scrub", "updates", "prune"} & ready.status.keys()


@pytest.mark.parametrize(("field", "command", "period"), [("scrub", "scrub", WEEK), ("updates", "plan", DAY)])
def test_it_is_due_a_period_after_the_sync_and_a_share_of_the_period_later(
    field: str, command: str, period: int
) -> None:
    world = synced()
    world.change_spec(**{field: {}})
    world.settle()
    proven = timestamps.parse(world.status["sync"]["provenAt"])
    due = timestamps.parse(world.status[field]["nextAt"])
    assert proven
    assert due
    assert proven + period <= due < proven + 1.1 * period
    wait_until_due(world, field)
    assert len(task_jobs(world, command)) == 1


def test_caches_that_are_given_a_schedule_late_do_not_all_begin_at_once() -> None:
    begins = set()
    for number in range(20):
        world = synced()
        world.cache["metadata"]["uid"] = f"{number:08d}"
        world.settle()
        if world.status["phase"] != "Ready":
            world.sync_well(complete(manifest=world.digest))
        world.now += WEEK
        world.change_spec(updates={"check": "24h"})
        world.settle()
        assert task_jobs(world) == []
        at = timestamps.parse(world.status["updates"]["nextAt"])
        assert at
        assert world.now <= at <= world.now + DAY / 10 + 1
        begins.add(at - world.now)
        world.now += DAY / 10
        world.settle()
        assert len(task_jobs(world)) == 1, "it does not move on with the clock"
    assert len(begins) > 15


def test_a_shorter_period_holds_at_once(scrubbed: PureCluster) -> None:
    scrubbed.now += HOUR
    scrubbed.change_spec(scrub={"every": "1m"})
    scrubbed.settle()
    scrubbed.now += 6
    scrubbed.settle()
    assert len(task_jobs(scrubbed, "scrub")) == 1


def test_the_next_one_counts_from_the_end_of_the_last(scrubbed: PureCluster) -> None:
    wait_until_due(scrubbed, "scrub")
    end_task(scrubbed, "scrub", complete(manifest=scrubbed.digest), took_s=DAY)
    finished = timestamps.parse(scrubbed.status["scrub"]["finishedAt"])
    assert finished == int(scrubbed.now)
    wait_until_due(scrubbed, "scrub")
    assert scrubbed.now >= finished + WEEK


def test_one_task_at_a_time(scrubbed: PureCluster) -> None:
    scrubbed.change_spec(updates={"check": "24h"})
    scrubbed.now += 2 * WEEK
    scrubbed.settle()
    assert task_jobs(scrubbed) == ["cache-scrub-1"]
    end_task(scrubbed, "scrub", complete(manifest=scrubbed.digest), took_s=DAY)
    assert task_jobs(scrubbed) == ["cache-plan-2"]


# Against syncs


def test_a_task_is_deleted_for_a_sync_and_done_after_it(scrubbed: PureCluster) -> None:
    wait_until_due(scrubbed, "scrub")
    start_task(scrubbed, "scrub")
    scrubbed.annotate("1")
    scrubbed.settle()
    assert task_jobs(scrubbed) == []
    assert scrubbed.status["phase"] == "Syncing"
    scrubbed.sync_well(complete(digest=DIGEST, manifest=scrubbed.digest))
    assert task_jobs(scrubbed) == ["cache-scrub-2"], "it was begun, so it goes on"


def test_no_task_begins_while_the_cache_is_not_complete(scrubbed: PureCluster) -> None:
    scrubbed.add_pod("serve")
    scrubbed.now += 1
    scrubbed.finish("serve", 1, damage(scrubbed))
    scrubbed.now += 2 * WEEK
    scrubbed.settle()
    assert scrubbed.status["phase"] == "Degraded"
    assert task_jobs(scrubbed) == []


def test_the_job_of_a_task_proves_nothing() -> None:
    world = synced(scrub={})
    wait_until_due(world, "scrub")
    proven = world.status["sync"]["provenAt"]
    end_task(world, "scrub", complete(manifest=world.digest))
    assert world.status["sync"]["provenAt"] == proven
    assert world.status["sync"]["attempt"] == 1
    world.replace_claim()
    world.settle()
    assert world.status["phase"] != "Ready"


def test_its_pod_is_none_of_the_users_pods(scrubbed: PureCluster) -> None:
    wait_until_due(scrubbed, "scrub")
    job, _ = start_task(scrubbed, "scrub")
    assert scrubbed.status["pods"] == {"waiting": 0, "early": 0, "started": 0, "outdated": 0}
    assert [each["type"] for each in scrubbed.status["conditions"] if each["type"] == "PodsHeld"] == []
    del scrubbed.jobs[job]
    scrubbed.settle()
    assert scrubbed.status["pods"]["started"] == 0, "nor while it ends"


# Where


@pytest.mark.parametrize(
    ("mode", "nodes", "expected"),
    [
        ("ReadWriteMany", ["a"], ""),
        ("ReadWriteOnce", [], ""),
        ("ReadWriteOnce", ["b", "a"], "a"),
        ("ReadWriteOncePod", [], ""),
        ("ReadWriteOncePod", ["a"], None),
    ],
    ids=["shared", "one node, unused", "one node, used", "one pod, unused", "one pod, used"],
)
def test_it_mounts_the_claim_where_it_keeps_it_from_nobody(mode: str, nodes: list[str], expected: str | None) -> None:
    world = synced(mode, scrub={})
    for number, node in enumerate(nodes):
        use(world, f"p{number}", node)
    world.now += 2 * WEEK
    world.settle()
    jobs = task_jobs(world, "scrub")
    if expected is None:
        assert jobs == []
        assert world.status["scrub"]["job"]["reason"] == "VolumeInUse"
        assert [each for each in world.notices if "ScrubWaiting" in each] == [
            "Warning ScrubWaiting claim models is ReadWriteOncePod, and pod p0 uses it"
        ]
        world.pods.clear()
        world.settle()
        assert task_jobs(world) == ["cache-scrub-1"]
        return
    annotations = world.jobs[jobs[0]]["metadata"]["annotations"]
    assert annotations.get(names.NODE_ANNOTATION, "") == expected
    assert ("affinity" in world.jobs[jobs[0]]["spec"]["template"]["spec"]) is bool(expected)


@pytest.mark.parametrize(
    ("mode", "own", "other", "stays", "again"),
    [
        ("ReadWriteMany", "a", "b", True, [None]),
        ("ReadWriteOnce", "a", "a", True, [None]),
        ("ReadWriteOnce", "a", "b", False, ["b"]),
        ("ReadWriteOncePod", "a", "", False, []),
    ],
)
def test_it_leaves_when_a_pod_needs_the_volume_elsewhere(
    mode: str, own: str, other: str, stays: bool, again: list[str | None]
) -> None:
    world = synced(mode, scrub={})
    wait_until_due(world, "scrub")
    start_task(world, "scrub", own)
    world.add_pod("serve")
    world.pods["serve"]["spec"]["nodeName"] = other
    world.settle()
    assert ("cache-scrub-1" in world.jobs) is stays
    assert [world.jobs[job]["metadata"]["annotations"].get(names.NODE_ANNOTATION) for job in task_jobs(world)] == again


def test_copies_are_read_one_node_after_the_other_and_a_restart_goes_on_where_it_was() -> None:
    world = fill(group(3, maxParallel=3))
    world.change_spec(scrub={"every": "1h"})
    world.now += 2 * HOUR
    world.settle()
    world.now += HOUR
    world.settle()
    seen = []
    while jobs := task_jobs(world, "scrub"):
        (job,) = jobs
        seen.append(world.jobs[job]["metadata"]["annotations"][names.NODE_ANNOTATION])
        if len(seen) == 2:
            world.forget_job(job)
            world.settle()
        end_task(world, "scrub", complete(manifest=world.digest))
    assert seen == ["n0", "n1", "n2"]
    assert "node" not in world.status["scrub"]
    assert [each for each in world.notices if "ScrubFinished" in each].__len__() == 1


def test_a_node_that_cannot_be_read_holds_up_no_other() -> None:
    world = fill(group(2))
    world.change_spec(scrub={"every": "1h"})
    world.now += 3 * HOUR
    world.settle()
    world.now += HOUR
    world.settle()
    end_task(world, "scrub", code=137)
    world.now += 61
    world.settle()
    (job,) = task_jobs(world, "scrub")
    assert world.jobs[job]["metadata"]["annotations"][names.NODE_ANNOTATION] == "n1"


# What it is


def test_the_pod_is_restricted_and_one_that_mounts_the_claim_has_no_token() -> None:
    world = synced(scrub={"rate": "20Mi"}, updates={"check": "168h"}, auth={"secretName": "hf"})
    world.now += 2 * WEEK
    world.settle()
    scrub = world.jobs["cache-scrub-1"]
    end_task(world, "scrub", complete(manifest=world.digest))
    plan = world.jobs["cache-plan-2"]
    for job, label in ((scrub, "scrub"), (plan, "plan")):
        spec = job["spec"]["template"]["spec"]
        assert restricted_problems(spec) == []
        assert spec["automountServiceAccountToken"] is False
        for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
            assert labels[names.TASK_LABEL] == label
        assert job["spec"]["backoffLimit"] == 0
    scrub_pod, plan_pod = (each["spec"]["template"]["spec"] for each in (scrub, plan))
    assert scrub_pod["containers"][0]["env"] == []
    assert [each["name"] for each in plan_pod["containers"][0]["env"]] == ["HF_TOKEN"]
    assert "persistentVolumeClaim" not in str(plan_pod)
    assert arguments(world, "cache-scrub-1") == [
        *("scrub", "--spec", "/etc/modelcache/modelcache.yaml", "--volume", "/models", "--rate", "20Mi"),
        *("--older-than", "168h", "--metrics-port", "9464", "--log-format", "text"),
    ]
    assert arguments(world, "cache-plan-2") == [
        *("plan", "--spec", "/etc/modelcache/modelcache.yaml", "--refresh"),
        *("--compare-to", "/etc/modelcache/pins.json"),
    ]


# Failures


def test_a_failed_task_is_told_and_retried_with_growing_delays_and_the_cache_stays_ready(scrubbed: PureCluster) -> None:
    wait_until_due(scrubbed, "scrub")
    delays = []
    for _ in range(4):
        end_task(scrubbed, "scrub", code=137)
        assert scrubbed.status["phase"] == "Ready"
        failed = scrubbed.now
        at = timestamps.parse(scrubbed.status["scrub"]["nextAt"])
        assert at
        delays.append(at - int(failed))
        scrubbed.now = at
        scrubbed.settle()
    assert delays == [60, 120, 240, 480]
    assert [each for each in scrubbed.notices if "TaskFailed" in each] == ["Warning TaskFailed scrub"]
    end_task(scrubbed, "scrub", complete(manifest=scrubbed.digest))
    assert scrubbed.status["scrub"]["job"].get("reason") is None


def test_a_hub_that_asks_for_quiet_gets_it(checked: PureCluster) -> None:
    wait_until_due(checked, "updates")
    end_task(checked, "plan", incomplete(Reason.RATE_LIMITED, "429"), code=1)
    condition = checked.condition("UpdateAvailable")
    assert (condition["status"], condition["reason"]) == ("Unknown", "RateLimited")
    at = timestamps.parse(checked.status["updates"]["nextAt"])
    assert at
    assert at - checked.now >= 599


def test_a_job_that_does_not_start_is_given_up_and_made_again_later(scrubbed: PureCluster) -> None:
    wait_until_due(scrubbed, "scrub")
    pod = scrubbed.add_pod("stuck", task_jobs(scrubbed)[0])
    scrubbed.wait(pod, "ImagePullBackOff", "no such image")
    scrubbed.now += 600
    scrubbed.settle()
    assert task_jobs(scrubbed) == []
    assert scrubbed.status["scrub"]["job"]["reason"] == "ImagePullFailed"
    scrubbed.now += 60
    scrubbed.settle()
    assert task_jobs(scrubbed) == ["cache-scrub-2"]


def test_a_job_that_is_refused_costs_the_task_alone(scrubbed: PureCluster) -> None:
    scrubbed.task_refused = "exceeded quota"
    scrubbed.now += 2 * WEEK
    scrubbed.settle()
    assert task_jobs(scrubbed) == []
    assert scrubbed.status["phase"] == "Ready"


def test_what_is_switched_off_ends(scrubbed: PureCluster) -> None:
    wait_until_due(scrubbed, "scrub")
    start_task(scrubbed, "scrub")
    scrubbed.change_spec(scrub=None)
    scrubbed.settle()
    assert task_jobs(scrubbed) == []
    assert "scrub" not in scrubbed.status
    assert scrubbed.status["phase"] == "Ready"


def test_jobs_that_are_not_tasks_of_this_cache_are_left_alone(scrubbed: PureCluster) -> None:
    wait_until_due(scrubbed, "scrub")
    body = scrubbed.jobs.pop("cache-scrub-1")
    body["metadata"] = body["metadata"] | {"name": "theirs", "ownerReferences": [{"uid": "other", "controller": True}]}
    scrubbed.jobs["theirs"] = body
    scrubbed.change_spec(scrub=None)
    scrubbed.settle()
    assert "theirs" in scrubbed.jobs


def test_while_nothing_may_be_made_no_task_is_begun_and_none_is_noted(scrubbed: PureCluster) -> None:
    scrubbed.now = START + 3 * WEEK
    scrubbed.settle(act=False)
    assert task_jobs(scrubbed) == []
    assert "startedAt" not in scrubbed.status["scrub"]


def test_the_end_of_a_job_beside_a_proxy_that_never_ends_counts(checked: PureCluster) -> None:
    wait_until_due(checked, "updates")
    job, pod = start_task(checked, "plan")
    checked.finish(pod, 0, plan_report())
    checked.pods[pod]["status"]["containerStatuses"].append({"name": "istio-proxy", "state": {"running": {}}})
    checked.jobs[job]["status"] = {"active": 1}
    checked.settle()
    assert checked.condition("UpdateAvailable")["status"] == "False"
    assert job not in checked.jobs
