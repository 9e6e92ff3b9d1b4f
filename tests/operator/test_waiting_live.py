"""On an API: pods ungated early, Jobs that Kueue holds, and pods that carry the label and wait for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport, Report
from support.cluster import Space
from support.kubeapi import FaultProxy
from support.operator_process import OperatorProcess
from support.reports import COMMIT, complete, incomplete
from support.sync_status import SyncStatus
from support.waiting import eventually

Json = dict[str, Any]
KUEUE = "kueue.x-k8s.io/admission-gated-by"
OURS, OTHERS = "modelcache.dev/complete", "other.example/gate"


def reasons(space: Space, name: str) -> set[str]:
    return {event["reason"] for event in space.events(name)}


def told(space: Space, name: str, reason: str) -> str:
    """Wait for an Event; returns its message."""

    def found() -> str | None:
        return next((str(each["message"]) for each in space.events(name) if each["reason"] == reason), None)

    return str(eventually(found, f"{name} is told {reason}", 30))


# Lead time


def growing(digest: str) -> Callable[[], Json]:
    """One percent more at each look, as a sync of five minutes at this pace would."""
    bytes_ = iter(range(0, 10**9, 10**7))

    def report() -> Json:
        have = next(bytes_, 10**9 - 1)
        model = ModelReport("base", False, "main", 3, 1, 10**9, have, commit=COMMIT)
        return dict(Report("cache", (model,), manifest=digest, bytes_fetched=have).to_json())

    return report


def test_a_gate_is_removed_within_the_lead_time_and_a_sync_that_fails_then_is_told(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("models", accessModes=["ReadWriteMany"])
    pod = space.kubelet.workload("cache", "models")
    space.cache(gate={"leadTime": "1h"})
    job = space.job()
    digest = job["metadata"]["annotations"]["modelcache.dev/manifest"]
    with SyncStatus(growing(digest)) as port:
        sync = space.kubelet.pod_of(job, port)
        sync.running()
        eventually(lambda: not pod.gated, "the gate is removed", 30)
        status = space.until("Syncing")
    assert "lead time: ModelCache cache is expected to be complete in" in told(space, pod.name, "GateOpened")
    assert [line["cause"] for line in operator.logged("gate removed")] == ["LeadTime"]
    eventually(lambda: space.status()["pods"]["early"] == 1, "the status counts it")
    assert "PodsHeld" not in json.dumps(status)
    sync.finish(2, incomplete(Reason.GATED_REPO, "no access", manifest=digest))
    space.kubelet.end_job(job, "Failed", "PodFailurePolicy")
    assert "waits with its GPU for ModelCache cache, which is Failed" in told(space, pod.name, "LeadTimeFailed")
    assert space.condition("PodsHeld")["reason"] == "LeadTimeFailed"
    early = f'modelcache_early_pods{{cache="cache",namespace="{space.namespace}"}} 1.0'
    assert early in operator.metrics()


# Kueue


def annotation(space: Space, name: str) -> str | None:
    found: Json = space.client.get("jobs", name, space.namespace)["metadata"].get("annotations") or {}
    return found.get(KUEUE)


def test_kueue_is_told_that_a_cache_is_complete_and_the_gates_of_others_stay(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    space.kubelet.job("alone", "cache", **{KUEUE: OURS})
    space.kubelet.job("shared", "cache", **{KUEUE: f"{OTHERS}, {OURS}"})
    space.kubelet.job("foreign", "cache", **{KUEUE: OTHERS})
    space.kubelet.job("of-another", "other", **{KUEUE: OURS})
    space.cache()
    job = space.job()
    assert [annotation(space, name) for name in ("alone", "shared")] == [OURS, f"{OTHERS}, {OURS}"]
    space.complete(job, complete())
    eventually(lambda: annotation(space, "alone") is None, "Kueue may admit the first")
    eventually(lambda: annotation(space, "shared") == OTHERS, "and the second, as far as we are concerned")
    assert "need not wait for it any more" in told(space, "alone", "AdmissionUngated")
    assert "has none of that name" in told(space, "of-another", "ModelCacheNotFound")
    assert (annotation(space, "foreign"), annotation(space, "of-another")) == (OTHERS, OURS)
    assert space.client.get("jobs", "alone", space.namespace)["spec"]["suspend"] is True, "that is Kueue's"
    space.kubelet.job("late", "cache", **{KUEUE: OURS})
    eventually(lambda: annotation(space, "late") is None, "one that comes later is told at once")


def test_a_job_that_may_not_be_changed_is_told_how_to_allow_it(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess
) -> None:
    proxy.faults.add(403, 1000, "patch", "jobs")
    space.kubelet.claim("models")
    space.kubelet.job("train", "cache", **{KUEUE: OURS})
    with faulty as operator:
        space.cache()
        space.complete(space.job(), complete())
        assert "operator.kueue.enabled" in told(space, "train", "AdmissionNotUngated")
        space.until("Ready")
        assert [line for line in operator.lines if line["level"] == "error"] == []
    patches = [call for call in proxy.calls if (call.verb, call.resource) == ("patch", "jobs")]
    assert len(patches) < 10, "it is not tried again and again"


# Pods that are not joined


def test_a_labelled_pod_that_waits_for_nothing_is_told_and_the_cache_says_so(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    stray = space.kubelet.workload("cache", "models", "stray", gated=False, init=False)
    lost = space.kubelet.workload("misspelt", "models", "lost", gated=False, init=False)
    opted_out = space.kubelet.workload("cache", "models", "own", gated=False, init=False, inject="false")
    verifying = space.kubelet.workload("cache", "models", "verifying", gated=False)
    gated = space.kubelet.workload("cache", "models", "gated", init=False)
    space.cache()
    assert "neither the gate nor the init container" in told(space, stray.name, "NotJoined")
    assert "label of ModelCache misspelt" in told(space, lost.name, "NotJoined")
    eventually(lambda: space.condition("PodsHeld").get("reason") == "NotJoined", "the cache says so")
    assert space.condition("PodsHeld")["message"].startswith("pod stray: has the label")
    space.complete(space.job(), complete())
    space.until("Ready")
    eventually(lambda: not gated.gated, "the gate is removed")
    told(space, gated.name, "GateOpened")
    for pod in (opted_out, verifying, gated):
        assert "NotJoined" not in reasons(space, pod.name)
    stray.delete()
    eventually(lambda: space.condition("PodsHeld") == {}, "there is nothing left to say")
    assert space.status()["phase"] == "Ready"
    eventually(partial(reasons, space, "cache"), "events of the cache")
