"""Caches from their creation to Ready, with the real operator as a process, and the real init-sync where it matters."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from init_sync.core.reasons import Reason
from support.cluster import Space
from support.hub import LocalHub, RepoBuilder
from support.kubeapi import ApiError
from support.operator_process import OperatorProcess
from support.reports import complete, incomplete
from support.sync_status import SyncStatus
from support.waiting import eventually

SLACK_S = 15.0
"""For a busy machine, where a test asserts that something is noticed within an interval."""


def test_a_real_sync_takes_a_new_cache_to_ready_and_opens_the_gate(
    space: Space, operator: OperatorProcess, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    space.cache()
    job = space.job()
    assert pod.gated
    _, code = space.kubelet.sync(job, volume, hub.endpoint)
    assert code == 0
    assert pod.gated, "a pod that ended well is no finished Job yet"
    space.kubelet.end_job(job, "Complete")
    status = space.until("Ready")
    assert status["complete"] is True
    assert status["summary"]["models"] == "1/1"
    assert status["bytesTotal"] == status["bytesPresent"] == status["bytesFetched"] > 2**20
    assert len(status["models"][0]["commit"]) == 40
    eventually(lambda: not pod.gated, "the gate is removed")
    annotations = pod.fresh()["metadata"]["annotations"]
    assert annotations["modelcache.dev/gate-opened-at"]
    assert annotations["modelcache.dev/commit"] == status["models"][0]["commit"]
    # On a slow machine it may have been told before that it waits.
    eventually(lambda: [each["reason"] for each in space.events(pod.name)].count("GateOpened") == 1, "the pod is told")


def test_a_hub_that_is_down_costs_a_retry_and_the_reason_is_shown(
    space: Space, operator: OperatorProcess, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    space.kubelet.claim("models")
    space.cache()
    job = space.job()
    _, code = space.kubelet.sync(job, volume, "http://127.0.0.1:9")
    assert code == 1
    eventually(lambda: space.condition("Complete").get("reason") == "HubUnreachable", "the reason is shown")
    assert space.status()["phase"] == "Syncing"
    assert space.status()["message"].startswith("retrying: ")
    _, code = space.kubelet.sync(job, volume, hub.endpoint)
    assert code == 0
    space.kubelet.end_job(job, "Complete")
    space.until("Ready")
    reasons = eventually(
        lambda: [each["reason"] for each in space.events("cache")],
        "an event says so",
        wanted=lambda found: "Ready" in found,
    )
    assert reasons.count("Ready") == 1
    assert "Failed" not in reasons


def test_exit_code_2_fails_the_job_at_once_and_a_later_job_succeeds(
    space: Space, operator: OperatorProcess, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    space.kubelet.claim("models")
    space.cache(models=[{"name": "base", "repo": "owner/none", "path": "base"}])
    job = space.job()
    _, code = space.kubelet.sync(job, volume, hub.endpoint)
    assert code == 2
    space.kubelet.end_job(job, "Failed", "PodFailurePolicy")
    status = space.until("Failed")
    assert space.condition("Complete")["reason"] == "RepoNotFound"
    assert ". Next attempt at " in status["message"]
    second = space.job(2, timeout_s=30)
    space.complete(second, complete())
    space.until("Ready")


def test_a_changed_spec_replaces_the_running_job_and_closes_the_gate_again(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    space.cache()
    space.complete(space.job(), complete())
    space.until("Ready")
    models = [{"name": "base", "repo": "owner/other", "path": "base"}]
    space.client.patch("modelcaches", "cache", {"spec": {"models": models}}, space.namespace)
    second = space.job(2)
    status = eventually(lambda: (found := space.status())["observedGeneration"] == 2 and found, "it is observed")
    assert status["complete"] is False
    pod = space.kubelet.workload("cache", "models")
    space.client.patch("modelcaches", "cache", {"spec": {"allowPickles": False}}, space.namespace)
    third = space.job(3)
    eventually(lambda: len(space.jobs()) == 2, "the unfinished Job is deleted, the finished one is kept")
    assert second["metadata"]["name"] not in [job["metadata"]["name"] for job in space.jobs()]
    assert pod.gated
    space.complete(third, complete())
    eventually(lambda: not pod.gated, "the gate is removed")


def test_a_deleted_cache_leaves_the_claim_alone(space: Space, operator: OperatorProcess) -> None:
    space.cache(volume={"claimName": "mine", "create": {"size": "1Gi"}})
    eventually(lambda: space.client.find("persistentvolumeclaims", "mine", space.namespace), "the claim is created")
    space.job()
    space.client.delete("modelcaches", "cache", space.namespace)
    eventually(lambda: space.client.find("modelcaches", "cache", space.namespace) is None, "it is gone")
    claim = space.client.get("persistentvolumeclaims", "mine", space.namespace)
    assert "deletionTimestamp" not in claim["metadata"]
    assert "ownerReferences" not in claim["metadata"]


def test_two_caches_on_one_claim_are_synced_and_opened_apart(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    pods = {name: space.kubelet.workload(name, "models") for name in ("one", "two")}
    for name in pods:
        space.cache(name)
    space.complete(space.job(name="one"), complete("one"))
    space.until("Ready", "one")
    eventually(lambda: not pods["one"].gated, "the first is ungated")
    assert pods["two"].gated
    assert space.status("two")["phase"] == "Pending"
    space.complete(space.job(name="two"), complete("two"))
    eventually(lambda: not pods["two"].gated, "the second is ungated")


def test_the_younger_of_two_caches_that_want_one_directory_is_refused(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    models = [{"name": "base", "repo": "owner/small", "path": "base"}]
    space.cache("one", models=models)
    space.job(name="one")
    space.cache("two", models=[{**models[0], "repo": "owner/other"}])
    status = space.until("Failed", "two")  # made in the same second perhaps: then the name decides
    assert "is filled by ModelCache one" in status["message"]
    assert space.status("one")["phase"] == "Pending"


def test_damage_found_by_a_serving_pod_starts_a_repair(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    space.complete(space.job(), complete())
    space.until("Ready")
    pod = space.kubelet.workload("cache", "models")
    eventually(lambda: not pod.gated, "the gate is removed")
    pod.finish(1, incomplete(Reason.CHECKSUM_MISMATCH, "model.safetensors was overwritten"), at="2099-01-01T00:00:00Z")
    status = space.until("Degraded")
    assert "model.safetensors was overwritten" in status["message"]


def test_resync_runs_a_job_that_looks_again(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    space.complete(space.job(), complete())
    space.until("Ready")
    annotation = {"metadata": {"annotations": {"modelcache.dev/resync": "2026-11-23"}}}
    space.client.patch("modelcaches", "cache", annotation, space.namespace)
    job = space.job(2)
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][-3:] == ["--refresh", "--verify", "deep"]
    space.complete(job, complete(fetched=0))
    eventually(lambda: space.status()["sync"].get("resync") == "2026-11-23", "it is recorded")
    space.until("Ready")
    assert len(space.jobs()) == 2


def test_a_claim_that_is_not_bound_is_looked_at_until_it_is(space: Space) -> None:
    intervals = ("--claim-check-seconds", "0.5", "--full-list-seconds", "3600")
    with OperatorProcess(space.cluster.kubeconfig, *intervals, namespaces=(space.namespace,)):
        space.cache()
        space.until("Pending")
        assert space.condition("VolumeReady")["reason"] == "ClaimMissing"
        space.kubelet.claim("models", "Pending")
        eventually(lambda: space.condition("VolumeReady")["reason"] == "ClaimPending", "it is seen", 0.5 + SLACK_S)
        space.job()
        space.kubelet.set_claim("models", "Bound")
        eventually(lambda: space.condition("VolumeReady")["status"] == "True", "it is seen", 0.5 + SLACK_S)


def test_a_bound_claim_that_is_lost_or_deleted_is_noticed_with_the_next_full_list(space: Space) -> None:
    intervals = ("--claim-check-seconds", "3600", "--full-list-seconds", "1")
    with OperatorProcess(space.cluster.kubeconfig, *intervals, namespaces=(space.namespace,)):
        for name in ("lost", "deleted"):
            space.kubelet.claim(name)
            space.cache(name, claim=name)
            space.complete(space.job(name=name), complete(name))
            space.until("Ready", name)
        space.kubelet.set_claim("lost", "Lost")
        space.until("Degraded", "lost", 1 + SLACK_S)
        space.client.patch("persistentvolumeclaims", "deleted", {"metadata": {"finalizers": None}}, space.namespace)
        space.client.delete("persistentvolumeclaims", "deleted", space.namespace)
        space.until("Degraded", "deleted", 1 + SLACK_S)
        assert space.condition("Complete", "lost")["reason"] == "ClaimLost"
        assert space.condition("Complete", "deleted")["reason"] == "ClaimMissing"


def test_troubles_of_the_pod_are_shown_in_words(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    pod = space.kubelet.pod_of(space.job())
    pod.unschedulable("0/3 nodes are available: 3 node(s) had volume node affinity conflict.")
    eventually(lambda: space.condition("Complete").get("reason") == "Unschedulable", "unschedulable")
    pod.waiting("ImagePullBackOff", 'Back-off pulling image "modelcache/init-sync"')


def test_a_gated_pod_without_a_cache_is_told_so(space: Space, operator: OperatorProcess) -> None:
    pod = space.kubelet.workload("misspelt", "models")
    event = eventually(lambda: space.events(pod.name), "an event says so", 30)[0]
    assert (event["type"], event["reason"]) == ("Warning", "ModelCacheNotFound")
    assert "ModelCache misspelt" in event["message"]
    assert pod.gated


def test_progress_comes_from_the_pod_s_own_port(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache(sync={"job": {"enabled": False}})
    report = {**incomplete(None, fetched=5), "bytesPerSecond": 310 << 20, "etaSeconds": 9}
    with SyncStatus(lambda: report) as port:
        pod = space.kubelet.workload("cache", "models", gated=False, port=port)
        pod.running()
        status = eventually(lambda: (found := space.status()).get("etaSeconds") and found, "progress is shown")
    assert status["summary"]["rate"] == "310Mi/s"
    assert status["summary"]["progress"] == "50%"
    assert status["phase"] == "Syncing"


def test_gauges_survive_a_restart(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    space.cache()
    space.complete(space.job(), complete())
    eventually(lambda: not pod.gated, "the gate is removed")
    eventually(lambda: not _gauges(operator, space, "gate_waiting_pods", 1), "it waits no more")
    before = _gauges(operator, space)
    assert operator.stop() == 0
    operator.start()
    eventually(lambda: _gauges(operator, space) == before, "the gauges are the same")
    assert f'modelcache_complete{{cache="cache",namespace="{space.namespace}"}} 1.0' in before


def _gauges(operator: OperatorProcess, space: Space, name: str = "", value: float | None = None) -> list[str]:
    """Series of gauges of this name and value, or of all."""
    lines = operator.metrics().splitlines()
    gauges = {line.split()[2] for line in lines if line.startswith("# TYPE modelcache_") and line.endswith(" gauge")}
    series = [line for line in lines if space.namespace in line and line.partition("{")[0] in gauges]
    wanted = "" if value is None else f" {value:.1f}"
    return [line for line in series if f"modelcache_{name}" in line and line.endswith(wanted)]


def test_probes_answer(operator: OperatorProcess) -> None:
    for path in ("healthz", "readyz"):
        with urlopen(f"http://127.0.0.1:{operator.health_port}/{path}", timeout=5) as answer:
            assert answer.status == 200


def test_it_runs_as_a_user_that_the_system_has_no_name_for(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on clusters that give each namespace uids of its own."""
    nameless = "import pwd\ndef getpwuid(uid):\n    raise KeyError(uid)\npwd.getpwuid = getpwuid\n"
    (tmp_path / "sitecustomize.py").write_text(nameless)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    with OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,)) as operator:
        space.kubelet.claim("models")
        space.cache()
        space.job()
        assert operator.logged("watches ended") == []
        assert operator.stop() == 0


def test_a_second_operator_waits_for_the_first(space: Space, operator: OperatorProcess) -> None:
    arguments = ("--identity", "second")
    second = OperatorProcess(space.cluster.kubeconfig, *arguments, namespaces=(space.namespace,))
    with second.running(ready=False):
        second.wait_for("waiting for the lease")
        assert second.logged("everything listed") == []
        assert operator.stop() == 0
        second.wait_for("everything listed")


def test_nothing_is_written_by_the_operator_that_the_schema_drops(space: Space, operator: OperatorProcess) -> None:
    space.kubelet.claim("models")
    space.cache()
    space.complete(space.job(), complete())
    status = space.until("Ready")
    try:
        path = space.client.path("modelcaches", space.namespace, "cache", "status")
        space.client.call(
            "PATCH", path, {"status": status}, "application/merge-patch+json", {"fieldValidation": "Strict"}
        )
    except ApiError as error:
        raise AssertionError(str(error)) from None
    assert {"sync", "pods", "summary", "conditions", "models"} <= status.keys()
