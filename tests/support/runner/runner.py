"""The cluster's moving parts as one level-triggered loop, which looks at everything several times a second.

Claims are bound, Jobs and Deployments get their pods, pods get their place, and those that have one are run here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.kubeapi.client import Client
from support.runner import scheduling
from support.runner.addresses import Addresses
from support.runner.controllers import has_ended, is_finished, missing_pods, plan_job
from support.runner.images import Image
from support.runner.pod import Node, PodLife, RunRecord
from support.runner.statuses import finished_job, pod_from_template, unschedulable
from support.runner.volumes import claim_folder, log_file

log = logging.getLogger(__name__)
Json = dict[str, Any]
LOOK_S = 0.2
END_S = 10.0
"""For containers that still run at the end; longer graces are cut to this."""


class Runner:
    """A context manager, with a thread of its own; at its end no process of it is left.

    Serves one namespace. ``runs`` lists every run of a container that is over; ``pause_s`` is the first pause between
    pods of a Job that fail, and between restarts of a container.
    """

    def __init__(
        self,
        kubeconfig: Path,
        folder: Path,
        images: Mapping[str, Image],
        capacity: Mapping[str, int] | None = None,
        pause_s: float = 10.0,
        env: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        self.runs: list[RunRecord] = []
        self._client = Client(kubeconfig)
        self._namespace = namespace
        self._node = Node("node-1", folder, self._client, images, env or {}, pause_s, self.runs)
        self._capacity = capacity or {}
        self._addresses = Addresses()
        self._lives: dict[str, PodLife] = {}
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="runner", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def log(self, pod: Json, container: str) -> bytes | None:
        """What the API serves as a pod's log."""
        status = pod.get("status") or {}
        everything = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        restarts = {each["name"]: each["restartCount"] for each in everything}
        path = log_file(self._node.folder, pod, container, restarts.get(container, 0))
        return path.read_bytes() if path.exists() else None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for life in self._lives.values():
            life.end(END_S)
        for life in self._lives.values():
            life.over.wait()
        self._addresses.close()
        self._client.close()
        if self._failure and value is None:
            raise self._failure

    def _work(self) -> None:
        try:
            while not self._stop.wait(LOOK_S):
                self._step()
        except Exception as error:  # raised in the caller's thread
            self._failure = error

    def _step(self) -> None:
        self._each("persistentvolumeclaims", self._bind)
        self._each("deployments", self._control_deployment)
        self._each("jobs", self._control_job)
        self._each("pods", self._place)
        self._each("pods", self._run_pod)

    def _each(self, resource: str, act: Callable[[Json], None]) -> None:
        """What cannot be done now must not hold up the rest."""
        try:
            found = self._client.list(resource, self._namespace)
        except OSError as error:
            log.debug("listing %s: %s", resource, error)
            return
        for each in found:
            try:
                act(each)
            except OSError as error:
                log.debug("looking again at %s %s: %s", resource, each["metadata"]["name"], error)
        if resource == "pods":
            self._see_off({each["metadata"]["uid"] for each in found})

    def _bind(self, claim: Json) -> None:
        """The provisioner: a folder for each claim, which stays when the claim goes."""
        if (claim.get("status") or {}).get("phase") != "Bound":
            name = claim["metadata"]["name"]
            claim_folder(self._node.folder, self._namespace, name).mkdir(parents=True, exist_ok=True)
            status = {"phase": "Bound", "accessModes": claim["spec"].get("accessModes", [])}
            status |= {"capacity": claim["spec"]["resources"]["requests"]}
            self._client.patch("persistentvolumeclaims", name, {"status": status}, self._namespace, sub="status")

    def _control_deployment(self, deployment: Json) -> None:
        for _ in range(missing_pods(deployment, self._pods_of(deployment))):
            self._client.create("pods", pod_from_template(deployment), self._namespace)

    def _control_job(self, job: Json) -> None:
        if is_finished(job) or job["metadata"].get("deletionTimestamp"):
            return
        name, pods = job["metadata"]["name"], self._pods_of(job)
        plan = plan_job(job, pods, time.time(), self._node.pause_s)
        if plan.outcome:
            status: Json = finished_job(job, plan.outcome, plan.reason, plan.message)
        elif plan.create:
            labels = {"batch.kubernetes.io/job-name": name, "job-name": name}
            self._client.create("pods", pod_from_template(job, labels), self._namespace)
            status = {"startTime": job["metadata"]["creationTimestamp"], "active": 1, "failed": len(pods)}
        else:
            return
        self._client.patch("jobs", name, {"status": status}, self._namespace, sub="status")

    def _pods_of(self, owner: Json) -> list[Json]:
        """Oldest first."""
        uid = owner["metadata"]["uid"]
        found = [pod for pod in self._client.list("pods", self._namespace) if _controller_uid(pod) == uid]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def _place(self, pod: Json) -> None:
        if pod["spec"].get("nodeName") or scheduling.gated(pod):
            return  # the API says that it is gated since it was created
        everything = self._client.list("pods", self._namespace)
        running = [each for each in everything if each["spec"].get("nodeName") and not has_ended(each)]
        claims = self._client.list("persistentvolumeclaims", self._namespace)
        bound = {each["metadata"]["name"]: (each.get("status") or {}).get("phase") == "Bound" for each in claims}
        name = pod["metadata"]["name"]
        if message := scheduling.obstacle(pod, running, bound, self._capacity):
            said = (pod.get("status") or {}).get("conditions") or ()
            if message not in [each.get("message") for each in said]:
                body = {"status": unschedulable(message)}
                self._client.patch("pods", name, body, self._namespace, sub="status")
            return
        self._client.bind(name, self._namespace, self._node.name)

    def _run_pod(self, pod: Json) -> None:
        metadata = pod["metadata"]
        life = self._lives.get(metadata["uid"])
        if metadata.get("deletionTimestamp"):
            if life:
                life.end(float(metadata.get("deletionGracePeriodSeconds", 30)))
            if life is None or life.over.is_set():
                self._client.delete("pods", metadata["name"], self._namespace)
        elif life is None and pod["spec"].get("nodeName") and not has_ended(pod):
            self._lives[metadata["uid"]] = PodLife(self._node, pod, self._addresses.take())

    def _see_off(self, present: Iterable[str]) -> None:
        """Pods that are gone from the API: nothing waits for the end of those that were deleted by force."""
        for uid, life in list(self._lives.items()):
            if life.failure:
                raise life.failure
            if uid not in present:
                life.end(0)
            if uid not in present and life.over.is_set():
                self._addresses.give_back(life.address)
                del self._lives[uid]


def _controller_uid(value: Json) -> str:
    owners = value["metadata"].get("ownerReferences", ())
    return next((each["uid"] for each in owners if each.get("controller")), "")
