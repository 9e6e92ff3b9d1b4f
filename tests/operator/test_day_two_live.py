"""Tasks on an API, with the real init-sync in their pods: as the cluster would run them, but for the waiting."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelcache_operator.core import timestamps
from support.cluster import Space
from support.hub import LocalHub, RepoBuilder
from support.kubeapi import FaultProxy
from support.kubeapi.faults import CUT_AFTER
from support.operator_process import OperatorProcess
from support.reports import GIB, complete
from support.tasks import plan_report
from support.waiting import eventually

pytestmark = pytest.mark.timeout(150)
Json = dict[str, Any]
SOON = {"check": "1m"}


def run(space: Space, job: Json, volume: Path, hub: LocalHub) -> int:
    """The Job's pod runs to its end, and so does the Job."""
    _, code = space.kubelet.sync(job, volume, hub.endpoint)
    space.kubelet.end_job(job, "Failed" if code else "Complete", "BackoffLimitExceeded" if code else "")
    return code


def reasons(space: Space) -> list[str]:
    return [each["reason"] for each in space.events("cache")]


def test_a_claim_is_created_as_large_as_the_hub_says(
    space: Space, operator: OperatorProcess, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    space.cache(volume={"create": {"size": "auto"}})
    assert run(space, space.task("plan"), volume, hub) == 0
    claim = eventually(lambda: space.client.find("persistentvolumeclaims", "cache", space.namespace), "the claim", 20)
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    space.kubelet.set_claim("cache", "Bound")
    assert run(space, space.job(), volume, hub) == 0
    status = space.until("Ready")
    assert status["size"]["bytes"] == status["bytesTotal"] > 2**20
    assert status["size"]["requested"] == "1Gi"
    assert reasons(space).count("ClaimSized") == 1


@pytest.mark.parametrize(("repo_name", "reason"), [("owner/nothing", "RepoNotFound")])
def test_a_wrong_name_is_told_before_there_is_a_claim(
    space: Space, operator: OperatorProcess, hub: LocalHub, repo: RepoBuilder, volume: Path, repo_name: str, reason: str
) -> None:
    model = {"name": "base", "repo": repo_name, "path": "base"}
    space.cache(volume={"create": {"size": "auto"}}, models=[model])
    assert run(space, space.task("plan"), volume, hub) == 2
    eventually(lambda: space.condition("Complete").get("reason") == reason, "the reason is shown", 20)
    assert space.status()["phase"] == "Pending"
    assert space.client.find("persistentvolumeclaims", "cache", space.namespace) is None


def test_a_branch_that_moves_is_told_taken_by_a_resync_and_what_it_leaves_is_removed(
    space: Space, operator: OperatorProcess, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    space.kubelet.claim("models")
    space.cache(updates=SOON, volume={"claimName": "models", "prune": True})
    assert run(space, space.job(), volume, hub) == 0
    space.until("Ready")
    _date_back(space, 120)
    before = space.status()["models"][0]["commit"]
    repo.commit({"config.json": b"{}", "newer.safetensors": b"newer" * 1000})
    assert run(space, space.task("plan"), volume, hub) == 0
    eventually(lambda: space.condition("UpdateAvailable").get("status") == "True", "the update is told", 20)
    assert 0 < space.status()["updates"]["bytes"] < 10_000
    assert space.status()["models"][0]["commit"] == before
    annotation = {"metadata": {"annotations": {"modelcache.dev/resync": "1"}}}
    space.client.patch("modelcaches", "cache", annotation, space.namespace)
    assert run(space, space.job(2), volume, hub) == 0
    eventually(lambda: space.condition("UpdateAvailable").get("status") == "False", "it was taken", 20)
    old = volume / "cache-base" / "vocab.txt"
    assert old.exists()
    assert run(space, space.task("prune"), volume, hub) == 0
    eventually(lambda: space.status()["prune"].get("bytesFreed", 0) > 2**20, "what was freed is told", 20)
    assert not old.exists()
    eventually(lambda: "Pruned" in reasons(space), "and an Event says so")


def _date_back(space: Space, seconds: int) -> None:
    """The proof, and the end of the Job that brought it, are that much older."""
    sync = {}
    for field in ("provenAt", "finishedAt"):
        at = timestamps.parse(space.status()["sync"][field])
        assert at
        sync[field] = timestamps.stamp(at - seconds)
    space.client.patch("modelcaches", "cache", {"status": {"sync": sync}}, space.namespace, sub="status")


STEPS = (("jobs", "create"), ("modelcaches/status", "patch"), ("persistentvolumeclaims", "create"), ("pods", "list"))


@pytest.mark.parametrize(("resource", "verb"), STEPS, ids=lambda each: str(each).replace("/", "-"))
def test_an_operator_killed_at_a_step_of_a_task_goes_on_where_it_was(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess, resource: str, verb: str
) -> None:
    """The call is carried out, nobody hears of it, and the operator is killed."""
    with faulty:
        rule = proxy.faults.add(CUT_AFTER, 100, verb, resource)
        space.cache(volume={"create": {"size": "auto"}})
        if resource != "jobs":
            space.complete(space.task("plan"), plan_report(10 * GIB))
        eventually(lambda: rule.spoilt, "the call is spoilt", 20)
        faulty.kill()
        proxy.faults.clear()
        faulty.start()
        if resource == "jobs":
            space.complete(space.task("plan"), plan_report(10 * GIB))
        claim = eventually(
            lambda: space.client.find("persistentvolumeclaims", "cache", space.namespace), "the claim is created", 30
        )
        assert claim["spec"]["resources"]["requests"]["storage"] == "11Gi"
        space.kubelet.set_claim("cache", "Bound")
        space.complete(space.job(), complete())
        space.until("Ready")
        assert len(space.tasks("plan")) == 1


def test_two_caches_on_one_claim_have_tasks_of_their_own(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    for name in ("one", "two"):
        space.cache(name, volume={"claimName": "models", "prune": True})
        space.complete(space.job(name=name), complete(name))
        space.until("Ready", name)
    for name in ("one", "two"):
        space.complete(space.task("prune", name=name), {"cache": name, "bytesFreed": 7})
        eventually(partial(_has_freed, space, name), "it is told", 20)
        assert len(space.jobs(name)) == 1


def _has_freed(space: Space, name: str) -> bool:
    return bool(space.status(name)["prune"].get("bytesFreed") == 7)


def test_damage_that_a_scrub_finds_is_told_and_repaired(
    space: Space, operator: OperatorProcess, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    space.kubelet.claim("models")
    space.cache(scrub={"every": "1m"})
    assert run(space, space.job(), volume, hub) == 0
    space.until("Ready")
    _date_back(space, 120)
    scrub = space.task("scrub")
    arguments = scrub["spec"]["template"]["spec"]["containers"][0]["args"]
    arguments[arguments.index("--older-than") + 1] = "1s"
    file = volume / "cache-base" / "model.safetensors"
    before, data = file.stat(), bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(space, scrub, volume, hub) == 1
    status = space.until("Degraded")
    assert space.condition("Complete")["reason"] == "ChecksumMismatch"
    assert "model.safetensors" in status["message"]
    eventually(lambda: "DamageFound" in reasons(space), "and an Event says so")
    assert run(space, space.job(2), volume, hub) == 0
    fetched = space.until("Ready")["bytesFetched"]
    assert fetched == len(data)
