"""Which Kubernetes API the integration tests run on: the in-memory one, and a real one where there is one.

A real one is found by ``KUBEBUILDER_ASSETS`` (etcd and kube-apiserver, as envtest has them), or by
``MODELCACHE_TEST_KUBECONFIG`` (any cluster that may be played with). ``MODELCACHE_TEST_API=local`` or ``real``
narrows the choice. The header says what ran on which. Each test has a namespace of its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kubeapi import ApiError, LocalApi, RealApi, assets
from support.kubeapi.client import Client, eventually
from support.kubelet import Kubelet
from support.operator_process import OperatorProcess

Json = dict[str, Any]
CRD = Path(__file__).parents[2] / "charts/modelcache/crds/modelcaches.yaml"
CHOICE = os.environ.get("MODELCACHE_TEST_API", "")
GIVEN = os.environ.get("MODELCACHE_TEST_KUBECONFIG")


def _choices() -> list[str]:
    real = ["real"] if GIVEN or assets() else []
    return [each for each in ["local", *real] if CHOICE in ("", each)] or [CHOICE]


def pytest_report_header() -> str:
    return f"Kubernetes APIs: {', '.join(_choices())}" + ("" if "real" in _choices() else " (no KUBEBUILDER_ASSETS)")


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API with the custom resource definition, and the admin's way in."""

    kind: str
    client: Client
    kubeconfig: Path
    local: LocalApi | None
    """For faults: the in-memory one."""
    real: RealApi | None


@pytest.fixture(scope="session", params=_choices())
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    if request.param == "local":
        with LocalApi() as api:
            yield from _prepared("local", api.kubeconfig(folder), api, None)
    elif GIVEN:
        yield from _prepared("real", Path(GIVEN), None, None)
    else:
        programs = assets()
        if programs is None:
            pytest.skip("no real API server: set KUBEBUILDER_ASSETS")
        with RealApi(programs, folder) as real:
            yield from _prepared("real", real.kubeconfig(), None, real)


def _prepared(kind: str, kubeconfig: Path, local: LocalApi | None, real: RealApi | None) -> Iterator[Cluster]:
    client = Client(kubeconfig)
    crd = yaml.safe_load(CRD.read_text())
    name = crd["metadata"]["name"]
    if client.find("customresourcedefinitions", name, "") is None:
        client.create("customresourcedefinitions", crd, "")
    eventually(lambda: client.list("modelcaches", "default") == [], "the API serves modelcaches", 30)
    yield Cluster(kind, client, kubeconfig, local, real)
    client.close()


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

        def reached() -> Json | None:
            status = self.status(name)
            return status if status.get("phase") == phase else None

        try:
            found: Json = eventually(reached, f"{name} becomes {phase}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.status(name)}") from None
        return found

    def jobs(self, name: str = "cache") -> list[Json]:
        found = self.client.list("jobs", self.namespace, f"modelcache.dev/cache={name}")
        return sorted(found, key=lambda job: int(job["metadata"]["labels"]["modelcache.dev/attempt"]))

    def job(self, attempt: int = 1, name: str = "cache", generation: int = 1, timeout_s: float = 20) -> Json:
        """Wait for a Job."""
        wanted = (str(generation), str(attempt))

        def labels(job: Json) -> tuple[str, str]:
            found = job["metadata"]["labels"]
            return found["modelcache.dev/generation"], found["modelcache.dev/attempt"]

        found: Json = eventually(
            lambda: next((job for job in self.jobs(name) if labels(job) == wanted), None),
            f"Job {attempt} of {name} for generation {generation}",
            timeout_s,
        )
        return found

    def complete(self, job: Json, report: Json) -> None:
        """The Job's pod runs and succeeds."""
        pod = self.kubelet.pod_of(job)
        pod.running()
        pod.finish(0, report)
        self.kubelet.end_job(job, "Complete")

    def events(self, name: str) -> list[Json]:
        return [each for each in self.client.list("events", self.namespace) if each["involvedObject"]["name"] == name]


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.client.create("namespaces", {"metadata": {"name": name}}, "")
    yield Space(cluster, name, Kubelet(cluster.client, name))
    for resource in ("modelcaches", "pods", "jobs"):
        for each in cluster.client.list(resource, name):
            try:
                cluster.client.delete(resource, each["metadata"]["name"], name)
            except ApiError as error:
                if error.code != 404:
                    raise


@pytest.fixture
def operator(space: Space) -> Iterator[OperatorProcess]:
    """A running operator that serves the test's namespace."""
    with OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,)) as running:
        yield running
