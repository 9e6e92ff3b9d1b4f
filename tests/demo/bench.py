"""What the tests of the runner work with: pods whose containers are lines of shell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.kubeapi.client import Client
from support.runner import Runner
from support.runner.volumes import claim_folder
from support.waiting import eventually

Json = dict[str, Any]
GATE = {"name": "modelcache.dev/complete"}
SHARED = [{"name": "shared", "mountPath": "/shared"}]


def container(script: str, name: str = "main", **fields: Any) -> Json:
    return {"name": name, "image": "shell", "args": [script], **fields}


@dataclass(frozen=True, slots=True)
class Bench:
    """A running runner on an API of its own."""

    client: Client
    runner: Runner
    folder: Path
    namespace: str
    local: bool
    """Whether the API is the in-memory one."""

    def create(self, resource: str, body: Json) -> Json:
        return self.client.create(resource, body, self.namespace)

    def get(self, resource: str, name: str) -> Json:
        return self.client.get(resource, name, self.namespace)

    def patch(self, resource: str, name: str, body: Json) -> None:
        self.client.patch(resource, name, body, self.namespace)

    def delete(self, resource: str, name: str) -> None:
        """By force, as far as it is a pod."""
        self.client.delete(resource, name, self.namespace)

    def pod(self, *containers: Json, name: str = "pod", **spec: Any) -> str:
        metadata = {"name": name, "labels": {"app": name}}
        body = {"metadata": metadata, "spec": {"containers": list(containers), "restartPolicy": "Never", **spec}}
        self.create("pods", {"apiVersion": "v1", "kind": "Pod", **body})
        return name

    def claim(self, name: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
        self.create("persistentvolumeclaims", body)

    def shared(self) -> tuple[Path, Json]:
        """A claim's folder, and the fields of a pod whose containers may mount it."""
        self.claim("shared")
        volume = {"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}
        return claim_folder(self.folder / "node", self.namespace, "shared"), {"volumes": [volume]}

    def status(self, name: str = "pod") -> Json:
        return dict(self.get("pods", name).get("status", {}))

    def condition(self, kind: str, pod: str = "pod") -> Json:
        return next((each for each in self.status(pod).get("conditions", ()) if each["type"] == kind), {})

    def scheduling(self, pod: str = "pod") -> Json:
        """Why it is not scheduled."""
        return {"reason": "", "message": "", **self.condition("PodScheduled", pod)}

    def container(self, name: str = "main", pod: str = "pod") -> Json:
        status = self.status(pod)
        everything = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        return next((each for each in everything if each["name"] == name), {})

    def waiting(self, container: str, reason: str) -> Json:
        """What it waits for, if that is ``reason``."""
        state: Json = self.container(container).get("state", {}).get("waiting", {})
        return state if state.get("reason") == reason else {}

    def delete_gracefully(self, name: str = "pod") -> None:
        self.client.call("DELETE", self.client.path("pods", self.namespace, name))

    def log(self, container: str) -> str:
        path = self.client.path("pods", self.namespace, "pod", "log")
        return str(self.client.call("GET", path, query={"container": container})["message"])

    def until_phase(self, phase: str, name: str = "pod") -> Json:
        return eventually(
            lambda: self.status(name), f"{name} is {phase}", wanted=lambda status: status.get("phase") == phase
        )

    def until_gone(self, name: str = "pod") -> None:
        eventually(lambda: self.client.find("pods", name, self.namespace) is None, f"{name} is gone")
