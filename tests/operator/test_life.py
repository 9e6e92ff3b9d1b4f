"""A cache from its creation to Ready, on a Kubernetes API, with the real operator as a process."""

from __future__ import annotations

from conftest import Space
from support.kubeapi.client import eventually
from support.operator_process import OperatorProcess
from support.reports import complete


def test_a_new_cache_gets_a_config_map_and_a_job_and_becomes_ready(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    job = space.job()
    assert space.client.get("configmaps", "cache-modelcache", space.namespace)["data"]["modelcache.yaml"]
    space.complete(job, complete())
    status = space.until("Ready")
    assert status["complete"] is True
    assert status["summary"]["models"] == "1/1"
    assert status["summary"]["size"] == "1.0Gi"


def test_a_gated_pod_waits_for_its_cache_and_is_let_go_once(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    space.cache()
    job = space.job()
    assert pod.gated
    space.complete(job, complete())
    eventually(lambda: not pod.gated, "the gate is removed")
    assert pod.fresh()["metadata"]["annotations"]["modelcache.dev/gate-opened-at"]
    gate = eventually(
        lambda: space.status().get("gate", {}).get("released") and space.status()["gate"], "it is counted"
    )
    assert gate["released"] == 1
