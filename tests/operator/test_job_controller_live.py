"""Between "Job made" and "container runs", with the real Job controller: suspension, quota, sidecars, forged pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.cluster import Space
from support.kubelet import Pod
from support.operator_process import OperatorProcess
from support.reports import complete, incomplete
from support.waiting import eventually

Json = dict[str, Any]
SECONDS = 60

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(autouse=True)
def controllers(space: Space) -> Iterator[None]:
    real = space.cluster.real
    if real is None or not real.has_controllers:
        pytest.skip("no Job controller without kubelets: put kube-controller-manager into KUBEBUILDER_ASSETS")
    with real.controllers("job-controller", "garbage-collector-controller", "resourcequota-controller"):
        yield


def ended_beside_a_proxy(space: Space, pod: Pod, report: Json, code: int = 0) -> None:
    """The sync container has ended, and a service mesh's proxy runs on."""
    pod.running()
    pod.finish(code, report)
    status = pod.fresh()["status"]
    proxy = {**status["containerStatuses"][0], "name": "istio-proxy", "state": {"running": {}}}
    beside = {"phase": "Running", "containerStatuses": [*status["containerStatuses"], proxy]}
    space.client.patch("pods", pod.name, {"status": beside}, space.namespace, sub="status")


def manifest(space: Space) -> str:
    config = space.client.get("configmaps", "cache-modelcache", space.namespace)
    return str(config["metadata"]["annotations"]["modelcache.dev/manifest"])


def reason(space: Space) -> object:
    return space.condition("Complete").get("reason")


def test_a_sync_that_is_done_beside_a_sidecar_is_the_proof(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    job = space.job()
    pod = space.kubelet.made_pod(job, 1, SECONDS)
    eventually(
        lambda: space.client.get("jobs", job["metadata"]["name"], space.namespace)["status"].get("active") == 1, ""
    )
    ended_beside_a_proxy(space, pod, complete(manifest=manifest(space)))
    space.until("Ready", timeout_s=SECONDS)
    eventually(lambda: space.client.find("pods", pod.name, space.namespace) is None, "its pod is ended", SECONDS)


def test_a_sync_that_failed_beside_a_sidecar_is_tried_again(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    job = space.job()
    pod = space.kubelet.made_pod(job, 1, SECONDS)
    ended_beside_a_proxy(space, pod, incomplete(None, "why"), code=2)
    space.until("Failed", timeout_s=SECONDS)
    assert space.job(2, timeout_s=SECONDS)


@pytest.mark.parametrize("counted", [False, True], ids=["by its owner", "by its labels too"])
def test_a_pod_that_claims_to_be_the_jobs_proves_nothing_by_a_sidecar(
    space: Space, operator: OperatorProcess, counted: bool
) -> None:
    space.kubelet.claim("models")
    space.cache()
    job = space.job()
    real = space.kubelet.made_pod(job, 1, SECONDS)
    body = {key: real.raw[key] for key in ("apiVersion", "kind")} if "kind" in real.raw else {}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    labels = real.raw["metadata"]["labels"] if counted else {"modelcache.dev/cache": "cache"}
    metadata = {"name": "forged", "labels": labels, "ownerReferences": [owner | {"controller": True}]}
    body |= {"metadata": metadata, "spec": {"containers": [{"name": "init-sync", "image": "forged"}]}}
    forged = Pod(space.kubelet, space.client.create("pods", body, space.namespace))
    ended_beside_a_proxy(space, forged, complete(manifest=manifest(space)))
    eventually(lambda: space.status()["phase"] == "Syncing", "it is seen", SECONDS)
    looks = operator.metric("modelcache_operator_reconciles_total")
    real.running()
    eventually(lambda: operator.metric("modelcache_operator_reconciles_total") > looks, "it is looked at", SECONDS)
    assert space.status()["complete"] is False
    assert [each["metadata"]["name"] for each in space.jobs()] == [job["metadata"]["name"]]


def test_a_suspended_job_says_so_and_goes_on_when_it_is_resumed(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    name = space.job()["metadata"]["name"]
    space.client.patch("jobs", name, {"spec": {"suspend": True}}, space.namespace)
    eventually(lambda: reason(space) == "JobSuspended", "the status says so", SECONDS)
    space.client.patch("jobs", name, {"spec": {"suspend": False}}, space.namespace)
    job = space.client.get("jobs", name, space.namespace)
    alive = eventually(
        lambda: [
            each
            for each in space.client.list("pods", space.namespace, f"batch.kubernetes.io/job-name={name}")
            if "deletionTimestamp" not in each["metadata"]
        ],
        "it has a pod again",
        SECONDS,
    )
    pod = Pod(space.kubelet, alive[0])
    pod.running()
    pod.finish(0, complete())
    assert job["metadata"]["name"] == name
    space.until("Ready", timeout_s=SECONDS)


def test_a_quota_that_refuses_the_pod_is_named_and_waited_out(space: Space, operator: OperatorProcess) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    space.client.create("resourcequotas", quota, space.namespace)
    space.kubelet.claim("models")
    space.cache()
    job = space.job()
    eventually(lambda: reason(space) == "JobWithoutPod", "the status says where to look", SECONDS)
    assert f"kubectl describe job {job['metadata']['name']}" in space.status()["message"]
    assert space.condition("Reconciling")["status"] == "True"
    space.client.delete("resourcequotas", "none", space.namespace)
    pod = space.kubelet.made_pod(job, 1, SECONDS)
    pod.running()
    pod.finish(0, complete())
    space.until("Ready", timeout_s=SECONDS)
