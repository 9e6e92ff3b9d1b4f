"""One installed release, and what a person would look up about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from e2e.kube import UNSETTLED, Json, Kube
from e2e.watching import Watch
from support.waiting import eventually

GATE = "modelcache.dev/complete"


@dataclass(frozen=True, slots=True)
class Release:
    """Names as the chart makes them."""

    kube: Kube
    name: str

    @property
    def inference(self) -> str:
        return f"{self.name}-modelcache-inference"

    @property
    def operator(self) -> str:
        return f"{self.name}-modelcache-operator"

    @property
    def claim(self) -> str:
        return f"{self.name}-models"

    def cache(self) -> Json:
        return self.kube.get("modelcache", self.name)

    def selector(self, component: str) -> str:
        return f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"

    def pod(self, component: str) -> Json:
        """The one that is there and not on its way out."""
        found = [
            pod
            for pod in self.kube.list("pods", self.selector(component))
            if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ("Failed", "Succeeded")
        ]
        if len(found) != 1:
            raise LookupError(f"{len(found)} pods of {component}")
        return found[0]

    def restart_server(self) -> Json:
        """The new pod, once it serves."""
        old = self.pod("inference")["metadata"]["uid"]
        self.kube.kubectl("rollout", "restart", f"deployment/{self.inference}")
        self.kube.rolled_out(self.inference)
        new = self.pod("inference")
        assert new["metadata"]["uid"] != old
        return new

    def sync_log(self, pod: Json) -> str:
        return self.kube.kubectl("logs", pod["metadata"]["name"], "--container", "init-sync")

    def server_log(self, pod: Json) -> str:
        return self.kube.kubectl("logs", pod["metadata"]["name"], "--container", "server")

    def jobs(self) -> list[Json]:
        """Those that sync."""
        return self.kube.list("jobs", f"modelcache.dev/cache={self.name},!modelcache.dev/task")

    def video(self) -> Json:
        """Asks the server for one, from inside the cluster."""
        url = f"http://{self.inference}:8000"
        answer = self.kube.kubectl(
            "exec", "deployment/hub", "--", "python", "-m", "e2e.in_pod.client", url, timeout_s=180
        )
        made: Json = json.loads(answer.splitlines()[-1])
        return made

    def metric(self, name: str) -> float:
        """Sum of a metric's series in what the operator exports."""
        pod = self.pod("operator")["metadata"]["name"]
        lines = self.kube.proxied(pod, 8080, "/metrics").splitlines()
        found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        if not found:
            raise LookupError(f"no metric {name}")
        return sum(found)

    def complete(self, seconds: int = 180) -> None:
        self.kube.wait(f"modelcache/{self.name}", "condition=Complete", seconds)

    def resync(self, value: str) -> None:
        """Returns when what was asked for is done."""
        before = {job["metadata"]["name"] for job in self.jobs()}
        self.kube.kubectl("annotate", "modelcache", self.name, f"modelcache.dev/resync={value}", "--overwrite")
        made = eventually(
            lambda: {job["metadata"]["name"] for job in self.jobs()} - before, "a Job is made", 60, not_yet=UNSETTLED
        )
        self.kube.wait(f"job/{made.pop()}", "condition=Complete")
        self.complete()


def phases(states: list[Json]) -> list[str]:
    """What ``kubectl get modelcaches -w`` would have shown, without repetitions."""
    shown = [state.get("status", {}).get("phase", "") for state in states]
    return [phase for place, phase in enumerate(shown) if phase and (place == 0 or shown[place - 1] != phase)]


def serving(pods: Watch, release: Release) -> list[Json]:
    label = {"app.kubernetes.io/instance": release.name, "app.kubernetes.io/component": "inference"}
    return [pod for pod in pods.seen() if label.items() <= pod["metadata"].get("labels", {}).items()]


def gated(pod: Json) -> bool:
    return GATE in [gate["name"] for gate in pod["spec"].get("schedulingGates", [])]


def condition(thing: Json, kind: str) -> Json:
    return next((each for each in thing.get("status", {}).get("conditions", []) if each["type"] == kind), {})


def container(pod: Json, name: str) -> Json:
    every: list[Any] = [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]
    found: Json = next(each for each in every if each["name"] == name)
    return found


def ran_for_s(pod: Json, name: str) -> float:
    ended = container(pod, name)["state"]["terminated"]
    times = [datetime.fromisoformat(ended[key]) for key in ("startedAt", "finishedAt")]
    return (times[1] - times[0]).total_seconds()
