"""What an integration test of the operator works with: an API, and a namespace of its own in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.kubeapi import LocalApi, RealApi
from support.kubeapi.client import Client
from support.kubelet import Kubelet
from support.waiting import eventually

Json = dict[str, Any]
CRD = Path(__file__).parents[2] / "charts/modelcache/charts/crds/crds/modelcaches.yaml"


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API with the custom resource definition, and the admin's way in."""

    kind: str
    client: Client
    kubeconfig: Path
    local: LocalApi | None
    """For faults: the in-memory one."""
    real: RealApi | None


@dataclass(frozen=True, slots=True)
class Space:
    """One namespace of a cluster."""

    cluster: Cluster
    namespace: str
    kubelet: Kubelet

    @property
    def client(self) -> Client:
        return self.cluster.client

    def cache(self, name: str = "cache", claim: str = "models", **spec: Any) -> Json:
        """Create a ModelCache of one model; ``spec`` adds to it."""
        body = {
            "apiVersion": "modelcache.dev/v1alpha1",
            "kind": "ModelCache",
            "metadata": {"name": name},
            "spec": {
                "models": [{"name": "base", "repo": "owner/small", "path": f"{name}-base"}],
                "volume": {"claimName": claim},
                **spec,
            },
        }
        return self.client.create("modelcaches", body, self.namespace)

    def status(self, name: str = "cache") -> Json:
        status: Json = self.client.get("modelcaches", name, self.namespace).get("status") or {}
        return status

    def condition(self, kind: str, name: str = "cache") -> Json:
        conditions = self.status(name).get("conditions", ())
        found: Json = next((each for each in conditions if each["type"] == kind), {})
        return found

    def until(self, phase: str, name: str = "cache", timeout_s: float = 20) -> Json:
        """Wait for a phase; returns the status."""

        return eventually(
            lambda: self.status(name),
            f"{name} becomes {phase}",
            timeout_s,
            wanted=lambda status: status.get("phase") == phase,
        )

    def jobs(self, name: str = "cache") -> list[Json]:
        found = self.client.list("jobs", self.namespace, f"modelcache.dev/cache={name}")
        return sorted(found, key=lambda job: int(job["metadata"]["labels"]["modelcache.dev/attempt"]))

    def job(self, attempt: int = 1, name: str = "cache", timeout_s: float = 20) -> Json:
        """Wait for a Job."""

        def number(job: Json) -> int:
            return int(job["metadata"]["labels"]["modelcache.dev/attempt"])

        found: Json = eventually(
            lambda: next((job for job in self.jobs(name) if number(job) == attempt), None),
            f"Job {attempt} of {name}",
            timeout_s,
        )
        return found

    def complete(self, job: Json, report: Json) -> None:
        """The Job's pod runs and succeeds."""
        pod = self.kubelet.pod_of(job)
        pod.running()
        pod.finish(0, report)
        self.kubelet.end_job(job, "Complete")

    def hold_lease(self, holder: str, duration_s: int = 3600) -> None:
        """Somebody took the operator's Lease just now."""
        stamp = "2026-11-23T01:02:03.000000Z"
        spec = {"holderIdentity": holder, "leaseDurationSeconds": duration_s, "acquireTime": stamp, "renewTime": stamp}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "modelcache-operator"}}
        self.client.create("leases", body | {"spec": spec}, self.namespace)

    def events(self, name: str) -> list[Json]:
        return [each for each in self.client.list("events", self.namespace) if each["involvedObject"]["name"] == name]
