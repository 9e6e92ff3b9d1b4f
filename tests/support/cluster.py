"""What an integration test of the operator works with: an API, and a namespace of its own in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.kubeapi import LocalApi, RealApi, assets
from support.kubeapi.client import Client
from support.kubelet import Kubelet
from support.waiting import eventually

Json = dict[str, Any]
CRD = Path(__file__).parents[2] / "charts/modelcache/charts/crds/crds/modelcaches.yaml"


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API with the custom resource definition, and the admin's way in."""

    client: Client
    kubeconfig: Path
    local: LocalApi | None = None
    real: RealApi | None = None


def prepared(kubeconfig: Path, local: LocalApi | None = None, real: RealApi | None = None) -> Cluster:
    """With the definition, once the API serves it."""
    client, definition = Client(kubeconfig), yaml.safe_load(CRD.read_text())
    if client.find("customresourcedefinitions", definition["metadata"]["name"], "") is None:
        client.create("customresourcedefinitions", definition, "")
    eventually(lambda: client.list("modelcaches", "default") == [], "the API serves modelcaches", 30)
    return Cluster(client, kubeconfig, local, real)


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A real API server if there are programs for one, else the one in memory."""
    programs = assets()
    if programs:
        with RealApi(programs, folder) as real:
            yield prepared(real.kubeconfig(), real=real)
    else:
        with LocalApi() as local:
            yield prepared(local.kubeconfig(folder), local)


@dataclass(frozen=True, slots=True)
class Space:
    """One namespace of a cluster."""

    cluster: Cluster
    namespace: str

    @property
    def client(self) -> Client:
        return self.cluster.client

    @property
    def kubelet(self) -> Kubelet:
        return Kubelet(self.client, self.namespace)

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
        """Of syncs."""
        return self._jobs(name, "!modelcache.dev/task")

    def tasks(self, command: str, name: str = "cache") -> list[Json]:
        """Jobs that are no syncs."""
        return self._jobs(name, f"modelcache.dev/task={command}")

    def task(self, command: str, besides: Collection[str] = (), name: str = "cache", timeout_s: float = 30) -> Json:
        """Wait for such a Job, with another name than ``besides``."""

        def found() -> Json | None:
            return next((job for job in self.tasks(command, name) if job["metadata"]["name"] not in besides), None)

        job: Json = eventually(found, f"a {command} Job of {name}", timeout_s)
        return job

    def _jobs(self, name: str, more: str) -> list[Json]:
        selector = f"modelcache.dev/cache={name},modelcache.dev/attempt,{more}"
        return sorted(self.client.list("jobs", self.namespace, selector), key=_attempt)

    def job(self, attempt: int = 1, name: str = "cache", timeout_s: float = 20) -> Json:
        """Wait for a Job."""

        def found() -> Json | None:
            return next((job for job in self.jobs(name) if _attempt(job) == attempt), None)

        job: Json = eventually(found, f"Job {attempt} of {name}", timeout_s)
        return job

    def complete(self, job: Json, report: Json) -> None:
        """The Job's pod runs and succeeds."""
        pod = self.kubelet.pod_of(job)
        pod.running()
        pod.finish(0, report)
        self.kubelet.end_job(job, "Complete")

    def events(self, name: str) -> list[Json]:
        return [each for each in self.client.list("events", self.namespace) if each["involvedObject"]["name"] == name]


def _attempt(job: Json) -> int:
    return int(job["metadata"]["labels"]["modelcache.dev/attempt"])
