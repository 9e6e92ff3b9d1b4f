"""Objects of a cluster on which 0.1.0 runs: the operator is upgraded, and rolled back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster import CRD, Cluster, Space
from support.first_release import FirstRelease
from support.hub import LocalHub, RepoBuilder
from support.kubelet import Kubelet, Pod
from support.operator_process import OperatorProcess
from support.waiting import eventually

Json = dict[str, Any]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
NAMESPACE = "default"
DEFINITION = "modelcaches.modelcache.dev"
FINISH_S = 40
"""For a process to start on a busy machine, and to do its work."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A cache of one model on a cluster, its volume, and both versions."""

    space: Space
    release: FirstRelease
    hub: LocalHub
    volume: Path
    log: Path

    @property
    def old_kubelet(self) -> Kubelet:
        return Kubelet(self.space.client, NAMESPACE, self.release.environment)

    def old_operator(self) -> Any:
        return self.release.operator(self.space.cluster.kubeconfig, NAMESPACE, self.log)

    def new_operator(self) -> OperatorProcess:
        return OperatorProcess(self.space.cluster.kubeconfig, namespaces=(NAMESPACE,))

    def upgrade_definition(self) -> None:
        self.space.client.patch("customresourcedefinitions", DEFINITION, yaml.safe_load(CRD.read_text()), "")

    @property
    def jobs(self) -> list[str]:
        return sorted(job["metadata"]["name"] for job in self.space.client.list("jobs", NAMESPACE))

    def sync(self, attempt: int, kubelet: Kubelet) -> None:
        """Wait for the Job and run it with the kubelet's init-sync."""
        job = self.space.job(attempt, timeout_s=FINISH_S)
        _, code = kubelet.sync(job, self.volume, self.hub.endpoint)
        assert code == 0
        kubelet.end_job(job, "Complete")

    def until(self, wanted: Callable[[Json], object], what: str) -> Json:
        return eventually(self.space.status, what, FINISH_S, wanted=wanted)

    def gated_pod(self) -> Pod:
        return self.space.kubelet.workload("cache", "models")


@pytest.fixture
def ground(
    old_cluster: Cluster, first_release: FirstRelease, hub: LocalHub, repo: RepoBuilder, volume: Path, tmp_path: Path
) -> Ground:
    """0.1.0 has synced the cache, and started a pod of it; its operator has stopped."""
    found = Ground(Space(old_cluster, NAMESPACE), first_release, hub, volume, tmp_path / "operator.log")
    found.old_kubelet.claim("models")
    found.space.cache()
    with found.old_operator():
        found.sync(1, found.old_kubelet)
        found.until(lambda status: status.get("phase") == "Ready", "0.1.0 is done")
        serving = found.gated_pod()
        eventually(lambda: not serving.gated, "0.1.0 removes the gate", FINISH_S)
        assert found.old_kubelet.init(serving, volume, hub.endpoint) == 0
        found.until(lambda status: status["gate"].get("released") == 1, "the pod is counted")
    hub.reset_log()
    return found


def is_proven(status: Json) -> bool:
    """As this version says it."""
    return status["phase"] == "Ready" and bool(status["sync"].get("claimUid"))


def upgrade(ground: Ground) -> Json:
    """To this version; one Job."""
    ground.upgrade_definition()
    with ground.new_operator():
        ground.sync(2, ground.space.kubelet)
        return ground.until(is_proven, "this version is done")


def test_an_upgrade_ends_ready_after_one_job_that_fetches_nothing(ground: Ground) -> None:
    before = ground.space.status()
    ground.upgrade_definition()
    waiting = ground.gated_pod()
    with ground.new_operator():
        job = ground.space.job(2, timeout_s=FINISH_S)
        assert waiting.gated, "what 0.1.0 says of a volume is not believed"
        assert job["metadata"]["name"] == "cache-sync-2"
        ground.sync(2, ground.space.kubelet)
        after = ground.until(is_proven, "this version is done")
        eventually(lambda: not waiting.gated, "the gate is removed", FINISH_S)
        told = ground.until(lambda status: status["pods"]["waiting"] == 0, "the pod is counted")
    assert ground.hub.requests == []
    assert ground.jobs == ["cache-sync-1-1", "cache-sync-2"]
    assert {"gate", "totals"} & before.keys() == {"gate", "totals"}
    assert {"gate", "totals"} & after.keys() == set(), "the new definition has neither"
    assert after["verifiedAt"] == before["verifiedAt"]
    assert [model["commit"] for model in after["models"]] == [model["commit"] for model in before["models"]]
    assert told["pods"]["commits"] == [{"commit": after["models"][0]["commit"], "pods": 1}], "of the pod of 0.1.0"


def test_a_rollback_ends_ready_after_one_job_that_fetches_nothing_and_so_does_the_next_upgrade(ground: Ground) -> None:
    proven = upgrade(ground)
    waiting = ground.gated_pod()
    with ground.old_operator():
        ground.sync(3, ground.old_kubelet)
        back = ground.until(lambda status: status["sync"].get("settledAttempt") == 3, "0.1.0 is done again")
        assert back["phase"] == "Ready"
        eventually(lambda: not waiting.gated, "0.1.0 removes the gate", FINISH_S)
    with ground.new_operator() as operator:
        operator.wait_for("everything listed", FINISH_S)
        again = ground.until(
            lambda status: "Stalled" in str(status["conditions"]) and is_proven(status), "this version again"
        )
    assert ground.hub.requests == []
    assert ground.jobs == ["cache-sync-1-1", "cache-sync-1-3", "cache-sync-2"]
    for field in ("claimUid", "volumeId", "manifest", "digests"):
        assert again["sync"][field] == proven["sync"][field], field
    assert again["models"] == proven["models"]


def test_a_field_that_0_1_0_does_not_know_fails_the_cache_after_a_rollback_and_nothing_is_lost(ground: Ground) -> None:
    proven = upgrade(ground)
    client = ground.space.client
    client.patch("modelcaches", "cache", {"spec": {"gate": {"leadTime": "5m"}}}, NAMESPACE)
    with ground.old_operator():
        status = ground.until(lambda status: status["phase"] == "Failed", "0.1.0 has looked")
    assert status["message"].startswith("the manifest: spec.gate: is not a known field")
    assert client.get("modelcaches", "cache", NAMESPACE)["spec"]["gate"] == {"leadTime": "5m"}
    with ground.new_operator():
        again = ground.until(is_proven, "this version again")
    assert (again["models"], ground.jobs) == (proven["models"], ["cache-sync-1-1", "cache-sync-2"])
