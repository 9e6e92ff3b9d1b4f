"""The exchanges of ``test_exchanged`` with the real operator on an API: no gate is removed before a new proof."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster import CRD, Cluster, Space
from support.kubeapi import ApiError, LocalApi
from support.kubeapi.client import Client
from support.kubelet import Pod
from support.operator_process import OperatorProcess
from support.reports import complete
from support.waiting import eventually

Json = dict[str, Any]
SEEN_SOON = ("--claim-check-seconds", "0.5", "--full-list-seconds", "1")
SEEN_LATE = ("--claim-check-seconds", "0.5", "--full-list-seconds", "3600")
CREATE = {"claimName": "models", "create": {"size": "1Gi"}}
FIRST, SECOND = "1" * 32, "2" * 32


@pytest.fixture
def operator(space: Space) -> Iterator[OperatorProcess]:
    with OperatorProcess(space.cluster.kubeconfig, *SEEN_SOON, namespaces=(space.namespace,)) as running:
        yield running


@pytest.fixture
def slow_operator(space: Space) -> Iterator[OperatorProcess]:
    """It lists nothing again while the test lasts."""
    with OperatorProcess(space.cluster.kubeconfig, *SEEN_LATE, namespaces=(space.namespace,)) as running:
        yield running


def fill(space: Space, attempt: int = 1, volume: str = FIRST) -> None:
    space.complete(space.job(attempt), complete(volumeId=volume))
    space.until("Ready")


def delete_claim(space: Space) -> None:
    """Nothing protects it: where there is a controller for that, no pod of ours is left that it would wait for."""
    client = space.client
    client.delete("persistentvolumeclaims", "models", space.namespace)
    with contextlib.suppress(ApiError):  # it had no finalizers, so it is gone
        client.patch("persistentvolumeclaims", "models", {"metadata": {"finalizers": None}}, space.namespace)


def is_gated_for(space: Space, pod: Pod, attempt: int) -> None:
    """A Job for the new claim is there, so the exchange was seen; the pod must still be held."""
    job = space.job(attempt)
    claim = space.client.get("persistentvolumeclaims", "models", space.namespace)
    assert job["metadata"]["annotations"]["modelcache.dev/claim-uid"] == claim["metadata"]["uid"]
    status = eventually(space.status, "the status says so", wanted=lambda status: status["complete"] is False)
    assert status["phase"] != "Ready"
    assert pod.gated


def test_a_claim_that_somebody_creates_again_is_filled_before_a_gate_is_removed(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    space.cache()
    fill(space)
    delete_claim(space)
    status = space.until("Degraded")
    assert (status["summary"]["models"], status["summary"]["progress"]) == ("0/1", "0%")
    pod = space.kubelet.workload("cache", "models")
    space.kubelet.claim("models")
    is_gated_for(space, pod, 2)
    fill(space, 2, SECOND)
    eventually(lambda: not pod.gated, "the gate is removed")


def test_a_claim_that_the_operator_creates_again_is_filled_before_a_gate_is_removed(
    space: Space, operator: OperatorProcess
) -> None:
    space.cache(volume=CREATE)
    space.job()
    space.kubelet.set_claim("models", "Bound")
    fill(space)
    delete_claim(space)
    pod = space.kubelet.workload("cache", "models")
    is_gated_for(space, pod, 2)
    eventually(lambda: space.condition("VolumeReady")["reason"] == "ClaimPending", "it is not bound")
    assert pod.gated
    space.kubelet.set_claim("models", "Bound")
    fill(space, 2, SECOND)
    eventually(lambda: not pod.gated, "the gate is removed")


def test_an_exchange_between_two_lists_is_found_before_a_gate_is_removed(
    space: Space, slow_operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    space.cache()
    fill(space)
    delete_claim(space)
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    is_gated_for(space, pod, 2)
    fill(space, 2, SECOND)
    eventually(lambda: not pod.gated, "the gate is removed")


def test_an_exchange_while_a_job_runs_is_found_before_anything_is_called_complete(
    space: Space, slow_operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    space.cache()
    job = space.job()
    running = space.kubelet.pod_of(job)
    running.running()
    space.until("Syncing")
    delete_claim(space)
    space.kubelet.claim("models")
    running.finish(0, complete(volumeId=FIRST))
    space.kubelet.end_job(job, "Complete")
    is_gated_for(space, pod, 2)
    phases = [event["reason"] for event in space.events("cache")]
    assert "Ready" not in phases
    fill(space, 2, SECOND)
    eventually(lambda: not pod.gated, "the gate is removed")


def test_of_many_caches_on_a_claim_that_was_exchanged_none_is_called_complete(
    space: Space, slow_operator: OperatorProcess
) -> None:
    """The first one that asks for the claim updates what is known of it; the others ask at the same time."""
    space.kubelet.claim("models")
    names = [f"cache-{number}" for number in range(16)]
    for name in names:
        space.cache(name)
    jobs = [space.job(1, name) for name in names]
    pods = [space.kubelet.pod_of(job) for job in jobs]
    delete_claim(space)
    space.kubelet.claim("models")
    stop = threading.Event()
    with ThreadPoolExecutor(len(names) + 1) as pool:
        said = pool.submit(_called_complete, space, stop)
        list(
            pool.map(lambda each: each[1].finish(0, complete(each[0], volumeId=SECOND)), zip(names, pods, strict=True))
        )
        list(pool.map(lambda job: space.kubelet.end_job(job, "Complete"), jobs))
        for name in names:
            space.job(2, name)
        stop.set()
    assert said.result() == []


def _called_complete(space: Space, stop: threading.Event) -> list[str]:
    events = space.client.watch("modelcaches", space.namespace, stop)
    return [each["object"]["metadata"]["name"] for each in events if each["object"].get("status", {}).get("complete")]


def test_a_claim_that_is_being_deleted_is_not_complete_and_not_kept_by_a_finished_job(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    kept = {"metadata": {"finalizers": ["example.com/a-pod-mounts-it"]}}
    space.client.patch("persistentvolumeclaims", "models", kept, space.namespace)
    space.cache()
    fill(space)
    space.client.delete("persistentvolumeclaims", "models", space.namespace)
    space.until("Degraded")
    assert space.condition("Complete")["reason"] == "ClaimTerminating"
    eventually(lambda: not space.jobs(), "the finished Job is deleted")
    delete_claim(space)


def test_another_volume_under_the_claim_is_found_by_the_next_pod(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    fill(space)
    pod = space.kubelet.workload("cache", "models")
    eventually(lambda: not pod.gated, "the gate is removed")
    later = space.kubelet.workload("cache", "models")
    eventually(lambda: not later.gated, "the gate is removed")
    pod.finish(0, complete(fetched=0, volumeId=SECOND), at="2099-01-01T00:00:00Z")
    space.until("Degraded")
    assert space.condition("Complete")["reason"] == "VolumeReplaced"


def test_a_cache_that_is_created_again_is_proven_again_and_nothing_is_fetched(
    space: Space, operator: OperatorProcess
) -> None:
    """Where the garbage collector is slow, Job and pod of its predecessor are still there."""
    space.kubelet.claim("models")
    space.cache()
    fill(space)
    path = space.client.path("modelcaches", space.namespace, "cache")
    space.client.call("DELETE", path, {"propagationPolicy": "Background"})
    eventually(lambda: space.client.find("modelcaches", "cache", space.namespace) is None, "it is gone")
    if space.client.find("configmaps", "cache-modelcache", space.namespace):
        space.client.delete("configmaps", "cache-modelcache", space.namespace)  # else its name is taken for so long
    pod = space.kubelet.workload("cache", "models")
    new = space.cache()

    def own() -> Json | None:
        uid = new["metadata"]["uid"]
        owned = [job for job in space.jobs() if uid in [each["uid"] for each in job["metadata"]["ownerReferences"]]]
        return next(iter(owned), None)

    job = eventually(own, "it has a Job of its own")
    assert pod.gated
    assert not space.status().get("complete")
    space.complete(job, complete(fetched=0, volumeId=FIRST))
    eventually(lambda: not pod.gated, "the gate is removed")


def test_a_status_that_is_restored_with_its_namespace_is_no_proof(
    space: Space, other_space: Space, tmp_path: Path
) -> None:
    """A backup brings the status back too; the claim that it speaks of is another one."""
    spaces = (space.namespace, other_space.namespace)
    with OperatorProcess(space.cluster.kubeconfig, *SEEN_SOON, namespaces=spaces) as running:
        space.kubelet.claim("models")
        space.cache()
        fill(space)
        saved = space.status()
        assert running.stop() == 0
        other_space.kubelet.claim("models")
        other_space.cache()
        pod = other_space.kubelet.workload("cache", "models")
        other_space.client.patch("modelcaches", "cache", {"status": saved}, other_space.namespace, sub="status")
        assert other_space.status()["complete"] is True
        running.start()
        is_gated_for(other_space, pod, 2)
        fill(other_space, 2, SECOND)
        eventually(lambda: not pod.gated, "the gate is removed")


def test_a_job_that_somebody_puts_in_the_place_of_ours_proves_nothing(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    space.cache()
    job = space.job()
    foreign = copy.deepcopy(job)
    path = space.client.path("jobs", space.namespace, job["metadata"]["name"])
    space.client.call("DELETE", path, {"propagationPolicy": "Background"})
    eventually(lambda: _is_gone(space, job), "the Job is gone")
    keep = ("name", "labels", "annotations")
    foreign["metadata"] = {key: foreign["metadata"][key] for key in keep}
    template = foreign["spec"]["template"]
    template["metadata"]["labels"] = {
        key: value
        for key, value in template["metadata"]["labels"].items()
        if "job-name" not in key and "uid" not in key
    }
    foreign = {key: foreign[key] for key in ("apiVersion", "kind", "metadata")} | {"spec": {"template": template}}
    made = space.client.create("jobs", foreign, space.namespace)
    space.complete(made, complete(volumeId=FIRST))
    second = space.job(2)
    assert pod.gated
    assert space.status()["complete"] is False
    space.complete(second, complete(volumeId=FIRST))
    eventually(lambda: not pod.gated, "the gate is removed")


def _is_gone(space: Space, job: Json) -> bool:
    found = space.client.find("jobs", job["metadata"]["name"], space.namespace)
    return found is None or found["metadata"]["uid"] != job["metadata"]["uid"]


def test_a_manifest_that_somebody_writes_into_the_config_map_is_replaced_and_proves_nothing(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    space.cache()
    job = space.job()
    ours = space.client.get("configmaps", "cache-modelcache", space.namespace)["data"]["modelcache.yaml"]
    edited = {"data": {"modelcache.yaml": ours.replace("owner/small", "owner/other")}}
    space.client.patch("configmaps", "cache-modelcache", edited, space.namespace)

    def text() -> str:
        return str(space.client.get("configmaps", "cache-modelcache", space.namespace)["data"]["modelcache.yaml"])

    eventually(lambda: text() == ours, "the manifest is written again")
    space.complete(job, complete(manifest=f"sha256:{'0' * 64}"))
    eventually(lambda: space.condition("Complete")["reason"] == "ManifestChanged", "the Job does not count")
    assert pod.gated


def test_an_operational_change_makes_no_job_and_holds_no_pod(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    fill(space)
    change = {"spec": {"sync": {"job": {"ttlSecondsAfterFinished": 60}}, "allowPickles": True}}
    space.client.patch("modelcaches", "cache", change, space.namespace)
    pod = space.kubelet.workload("cache", "models")
    eventually(lambda: space.status()["observedGeneration"] == 2, "the change is seen")
    eventually(lambda: not pod.gated, "the gate is removed")
    assert len(space.jobs()) == 1
    assert [event["reason"] for event in space.events("cache")].count("Ready") == 1


def test_an_operator_under_an_older_definition_ends_and_says_so(tmp_path: Path) -> None:
    """The API would drop what it must remember, and there would be one Job after the other."""
    definition = yaml.safe_load(CRD.read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for field in ("claimUid", "manifest", "volumeId"):
        del schema["properties"]["status"]["properties"]["sync"]["properties"][field]
    with LocalApi() as api:
        client = Client(api.kubeconfig(tmp_path))
        client.create("customresourcedefinitions", definition, "")
        space = Space(Cluster(client, tmp_path), "default")
        space.kubelet.claim("models")
        space.cache()
        with OperatorProcess(api.kubeconfig(tmp_path), namespaces=("default",)) as operator:
            assert operator.process.wait(20) == 1
            assert any("drops status.sync.claimUid" in line["message"] for line in operator.lines)
        client.close()
