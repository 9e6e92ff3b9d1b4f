"""What the tests of the runner work with: pods whose containers are lines of shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.kubeapi.client import Client, eventually
from support.runner import Runner

Json = dict[str, Any]


def container(script: str, name: str = "main", **fields: Any) -> Json:
    return {"name": name, "image": "shell", "args": [script], **fields}


@dataclass(frozen=True, slots=True)
class Bench:
    """A running runner on an API of its own."""

    client: Client
    runner: Runner
    folder: Path

    def pod(self, *containers: Json, name: str = "pod", **spec: Any) -> str:
        metadata = {"name": name, "labels": {"app": name}}
        body = {"metadata": metadata, "spec": {"containers": list(containers), "restartPolicy": "Never", **spec}}
        self.client.create("pods", {"apiVersion": "v1", "kind": "Pod", **body})
        return name

    def status(self, name: str = "pod") -> Json:
        return dict(self.client.get("pods", name).get("status", {}))

    def container(self, name: str = "main", pod: str = "pod") -> Json:
        status = self.status(pod)
        everything = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        return next((each for each in everything if each["name"] == name), {})

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return eventually(condition, what, 15)

    def until_phase(self, phase: str, name: str = "pod") -> Json:
        found: Json = self.until(
            lambda: (status := self.status(name)).get("phase") == phase and status, f"{name} is {phase}"
        )
        return found
