"""The life of one pod on this node, in a thread of its own: volumes, init containers, the main one, its end.

The API is told of each change. Everything that happens to the processes happens in that thread, so that a pod may be
ended at any moment.
"""

from __future__ import annotations

import math
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support.kubeapi.client import Client
from support.kubeapi.errors import ApiError
from support.runner.container import Command, ContainerProcess, compose
from support.runner.environment import PodFields
from support.runner.images import Image, find_image
from support.runner.statuses import ContainerStatus, Ended, now, pod_status, waiting
from support.runner.volumes import Missing, log_file, mount, pod_folder

Json = dict[str, Any]
TICK_S = 0.1
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a container that is over."""

    pod: str
    container: str
    log: Path
    began: float
    """On the clock of ``time.monotonic``."""
    seconds: float
    ended: Ended

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class Node:
    """The machine that pods run on."""

    name: str
    folder: Path
    client: Client
    images: Mapping[str, Image]
    env: Mapping[str, str]
    """For pods that may know the API: where it is."""
    pause_s: float
    """Before the second restart of a container; it doubles with each more."""
    runs: list[RunRecord]


class PodLife:
    """``over`` is set when nothing of the pod runs any more; ``failure`` is a mistake of the runner's own."""

    def __init__(self, node: Node, pod: Json, address: str) -> None:
        self.pod = pod
        self.address = address
        self.over = threading.Event()
        self.failure: Exception | None = None
        self._node = node
        self._namespace = pod["metadata"]["namespace"]
        self._inits: list[Json] = pod["spec"].get("initContainers") or []
        self._statuses: dict[str, ContainerStatus] = {}
        self._started_at = now()
        self._ending = threading.Event()
        self._killed_at = math.inf
        self._told: Json = {}
        self._refusal: Json = {}
        threading.Thread(target=self._live, name=pod["metadata"]["name"], daemon=True).start()

    def end(self, grace_s: float) -> None:
        """As on deletion: SIGTERM, and SIGKILL when the time is over; the shortest grace counts."""
        self._killed_at = min(self._killed_at, time.monotonic() + grace_s)
        self._ending.set()

    def _live(self) -> None:
        try:
            self._run()
        except NotImplementedError as error:
            self._refusal = {"phase": "Failed", "reason": "NotEmulated", "message": str(error)}
        except Exception as error:  # raised in the runner's thread
            self.failure = error
        while not self._tell() and not self._ending.wait(TICK_S):
            pass
        self.over.set()

    def _run(self) -> None:
        spec = self.pod["spec"]
        policy = spec.get("restartPolicy", "Always")
        containers = [*self._inits, *spec["containers"]]
        _refuse_unknown(self._inits, spec["containers"])
        self._statuses = {each["name"]: ContainerStatus(each["name"], each["image"]) for each in containers}
        mounted = self._mounted()
        if mounted is None:
            return
        commands = {each["name"]: self._command(each, mounted) for each in containers}
        (main,) = spec["containers"]
        if self._inits:
            self._say(main["name"], state=waiting("PodInitializing"))
        for each in self._inits:
            if self._run_until(commands[each["name"]], each, lambda code: code == 0 or policy == "Never") != 0:
                return
            self._say(each["name"], ready=True)
        self._run_until(
            commands[main["name"]], main, lambda code: policy == "Never" or (policy != "Always" and code == 0)
        )

    def _mounted(self) -> dict[str, Path] | None:
        """Once everything that volumes refer to is there; the containers stay in ContainerCreating meanwhile."""
        while not self._ending.is_set():
            try:
                return mount(self._node.folder, self.pod, self._find)
            except (Missing, ApiError, ConnectionError):
                self._tell()
                self._ending.wait(TICK_S)
        return None

    def _find(self, resource: str, name: str) -> Json | None:
        return self._node.client.find(resource, name, self._namespace)

    def _command(self, spec: Json, mounted: Mapping[str, Path]) -> Command:
        image = find_image(self._node.images, spec["image"])
        if image is None:
            raise NotImplementedError(f"image {spec['image']}: only {', '.join(self._node.images)} are known")
        knows_api = self.pod["spec"].get("automountServiceAccountToken", True)
        known = Image(image.entrypoint, {**(self._node.env if knows_api else {}), **image.env})
        fields = PodFields(self.pod, self.address, self._node.name)
        return compose(spec, known, fields, mounted, pod_folder(self._node.folder, self.pod) / spec["name"])

    def _run_until(self, command: Command, spec: Json, done: Callable[[int], bool]) -> int | None:
        """Run and restart until ``done`` accepts an exit code; None when the pod is to end before."""
        name = spec["name"]
        while not self._ending.is_set():
            ended = self._run_once(command, spec)
            self._say(name, state={"terminated": ended.json()}, ready=False, started=False)
            if done(ended.exit_code):
                return ended.exit_code
            self._pause(name)
        return None

    def _run_once(self, command: Command, spec: Json) -> Ended:
        name = spec["name"]
        log = log_file(self._node.folder, self.pod, name, self._statuses[name].restarts)
        began = time.monotonic()
        try:
            process = ContainerProcess(command, log)
        except OSError as error:
            return Ended(128, f"failed to create containerd task: {error}", now(), now(), "StartError")
        self._say(name, state={"running": {"startedAt": process.started_at}}, started=True)
        try:
            self._watch(process, spec)
        finally:
            took, ended = time.monotonic() - began, process.ended()
        self._node.runs.append(RunRecord(self.pod["metadata"]["name"], name, log, began, took, ended))
        return ended

    def _watch(self, process: ContainerProcess, spec: Json) -> None:
        """Until the program ends, or has to."""
        probe, asked_at, told = spec.get("readinessProbe"), 0.0, False
        while not process.ends_within(TICK_S):
            clock = time.monotonic()
            if self._ending.is_set() and not told:
                process.terminate()
                told = True
            if told and clock >= self._killed_at:
                return
            if not probe:
                self._say(spec["name"], ready=True)
            elif clock >= asked_at:
                self._say(spec["name"], ready=self._answers(probe["httpGet"], spec))
                asked_at = clock + float(probe.get("periodSeconds", 10))
            self._tell()

    def _answers(self, get: Json, spec: Json) -> bool:
        """Thresholds are not known: each answer counts."""
        ports = {each.get("name"): each["containerPort"] for each in spec.get("ports", ())}
        url = f"http://{self.address}:{ports.get(get['port'], get['port'])}{get.get('path', '/')}"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return True
        except OSError:
            return False

    def _pause(self, name: str) -> None:
        """Back off, and be restarted; the first restart comes at once."""
        last, restart = self._statuses[name].state, self._statuses[name].restarts + 1
        if restart > 1:
            pause_s = min(self._node.pause_s * 2.0 ** (restart - 2), LONGEST_PAUSE_S)
            message = f"back-off {pause_s:g}s restarting failed container={name}"
            self._say(name, state=waiting("CrashLoopBackOff", message), last=last)
            self._ending.wait(pause_s)
        if not self._ending.is_set():
            self._say(name, restarts=restart, last=last)

    def _say(self, name: str, **changes: Any) -> None:
        self._statuses[name] = replace(self._statuses[name], **changes)
        self._tell()

    def _tell(self) -> bool:
        """Whether the API knows how things are, or the pod is gone from it."""
        status = self._status()
        if status == self._told:
            return True
        metadata = self.pod["metadata"]
        body = {"metadata": {"uid": metadata["uid"]}, "status": status}
        try:
            self._node.client.patch("pods", metadata["name"], body, self._namespace, sub="status")
        except OSError as error:
            return isinstance(error, ApiError) and error.code == 404
        self._told = status
        return True

    def _status(self) -> Json:
        statuses, count = list(self._statuses.values()), len(self._inits)
        always = self.pod["spec"].get("restartPolicy", "Always") == "Always"
        status = pod_status(statuses[:count], statuses[count:], always, self._told.get("conditions", ()))
        where = {"hostIP": "127.0.0.1", "podIP": self.address, "podIPs": [{"ip": self.address}]}
        return {**status, **where, "startTime": self._started_at, **self._refusal}


def _refuse_unknown(inits: list[Json], mains: list[Json]) -> None:
    if len(mains) > 1 or any(each.get("restartPolicy") == "Always" for each in inits):
        raise NotImplementedError("several main containers, and init containers that stay on, are not known")
    for each in mains:
        if "httpGet" not in each.get("readinessProbe", {"httpGet": {}}):
            raise NotImplementedError(f"container {each['name']}: readinessProbe: only httpGet is known")
