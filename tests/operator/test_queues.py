"""Jobs that Kueue holds for a cache: our name is taken out of the list, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from modelcache_operator.core import names, parse
from modelcache_operator.core.queues import admission_patch, queued_jobs
from support.kubeapi.patches import json_patch
from support.pure_cluster import PureCluster
from support.reports import complete

Json = dict[str, Any]
OURS = names.GATE


def job(gates: str | None, **metadata: Any) -> Json:
    annotations = {"team": "a"} | ({} if gates is None else {names.KUEUE_ANNOTATION: gates})
    return {
        "metadata": {
            "name": "train",
            "namespace": "default",
            "uid": "job",
            "labels": {names.CACHE_LABEL: "cache"},
            "annotations": annotations,
            **metadata,
        },
        "spec": {"suspend": True},
    }


LISTS = {
    "alone": (OURS, None),
    "with a blank": (f" {OURS} ", None),
    "first": (f"{OURS},other.example/gate", "other.example/gate"),
    "last, with a blank": (f"other.example/gate, {OURS}", "other.example/gate"),
    "in the middle": (f"a.example/x,{OURS},b.example/y", "a.example/x,b.example/y"),
}


@pytest.mark.parametrize(("gates", "left"), LISTS.values(), ids=LISTS)
def test_our_name_is_taken_out_of_the_list(gates: str, left: str | None) -> None:
    raw = job(gates)
    (found,) = queued_jobs([parse.parse_job(raw)])
    changed = json_patch(raw, admission_patch(found))
    assert changed["metadata"]["annotations"].get(names.KUEUE_ANNOTATION) == left
    assert changed == job(left), "and nothing else has changed"


@pytest.mark.parametrize("now", ["other.example/gate", None], ids=["another list", "no list"])
def test_a_list_that_somebody_changed_meanwhile_is_left_as_it_is(now: str | None) -> None:
    (found,) = queued_jobs([parse.parse_job(job(OURS))])
    with pytest.raises(Exception, match=r"test|path"):
        json_patch(job(now), admission_patch(found))


NOT_OURS = {
    "no annotation": job(None),
    "an empty one": job(""),
    "the gate of another": job("other.example/gate"),
    "a name that begins as ours does": job(f"{OURS}d"),
    "a Job that is being deleted": job(OURS, deletionTimestamp="2026-11-23T01:00:00Z"),
    "more than anybody means": job(f"{OURS},{'x' * 4096}"),
}


@pytest.mark.parametrize("raw", NOT_OURS.values(), ids=NOT_OURS)
def test_other_jobs_are_left_alone(raw: Json) -> None:
    assert queued_jobs([parse.parse_job(raw)]) == ()


def test_it_is_told_once_the_cache_is_complete_and_not_before(world: PureCluster) -> None:
    world.jobs["train"] = job(OURS)
    world.settle()
    assert names.KUEUE_ANNOTATION in world.jobs["train"]["metadata"]["annotations"]
    _sync(world)
    assert names.KUEUE_ANNOTATION not in world.jobs["train"]["metadata"]["annotations"]
    assert world.status["phase"] == "Ready"


def test_pods_of_such_a_job_use_the_cache_as_others_do(world: PureCluster) -> None:
    world.jobs["train"] = job(None)
    world.settle()
    _sync(world)
    pod = world.add_pod("train-1")
    world.pods[pod]["metadata"]["ownerReferences"] = [{"uid": "job", "controller": True}]
    world.finish(pod, 0, complete())
    world.settle()
    assert world.status["pods"]["started"] == 1


def _sync(world: PureCluster) -> None:
    """``sync_well`` looks for the newest sync Job by a label that others lack."""
    sync = next(name for name in world.jobs if name != "train")
    pod = world.add_pod("sync", sync)
    world.start(pod)
    world.settle()
    world.finish(pod, 0, complete())
    world.end_job(sync, "Complete")
    world.settle()
