"""kubectl and helm as a user has them, bound to one namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from support import tools

Json = dict[str, Any]


class CommandFailed(AssertionError):
    """What the command was and what it said."""


UNSETTLED = (CommandFailed, LookupError)
"""What may pass: a command that fails, an object that is not there."""


def program(name: str) -> str | None:
    """From PATH, or else the one that came from the package index for the chart's tests."""
    known = {"helm": tools.helm, "kubectl": tools.kubectl}[name]()
    return shutil.which(name) or (str(known) if known else None)


@dataclass(frozen=True, slots=True)
class Kube:
    """Commands fail loudly, with their own words."""

    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        return run(["kubectl", "--namespace", self.namespace, *arguments], stdin, timeout_s).stdout

    def helm(
        self, *arguments: str, stdin: str | None = None, timeout_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        return run(["helm", "--namespace", self.namespace, *arguments], stdin, timeout_s)

    def get(self, kind: str, name: str) -> Json:
        found: Json = json.loads(self.kubectl("get", kind, name, "--output", "json"))
        return found

    def list(self, kind: str, selector: str = "") -> list[Json]:
        found: list[Json] = json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))["items"]
        return found

    def apply(self, *objects: Json) -> None:
        self.kubectl(
            "apply", "--filename", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": objects})
        )

    def wait(self, what: str, condition: str, seconds: int = 180) -> None:
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={seconds}s", timeout_s=seconds + 30)

    def rolled_out(self, deployment: str, seconds: int = 240) -> None:
        self.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={seconds}s", timeout_s=seconds + 30)

    def proxied(self, pod: str, port: int, path: str) -> str:
        return self.kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/{pod}:{port}/proxy{path}")


def run(command: list[str], stdin: str | None = None, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    found = program(command[0])
    assert found is not None, f"{command[0]} was not found"
    done = subprocess.run(
        [found, *command[1:]], input=stdin, capture_output=True, text=True, timeout=timeout_s, env=dict(os.environ)
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done
