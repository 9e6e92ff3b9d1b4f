"""What a cluster does with Jobs and pods, acted out on the API: the Job controller, the scheduler and the kubelet.

No containers run. A test says what happens to a pod (``running``, ``finish``, ``waiting``), and the status that a
kubelet would write is written. ``sync`` runs the real ``init-sync`` on the ConfigMap's manifest and hands on its exit
code and its termination message.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.kubeapi.client import Client
from support.runner.statuses import (
    TERMINATION_MESSAGE_BYTES,
    ContainerStatus,
    Ended,
    finished_job,
    now,
    pod_from_template,
    unschedulable,
    waiting,
)
from support.waiting import eventually

Json = dict[str, Any]
CONTAINER = "init-sync"


class Kubelet:
    """For one namespace; ``environment`` is added to that of each init-sync."""

    def __init__(
        self, client: Client, namespace: str = "default", environment: Mapping[str, str] | None = None
    ) -> None:
        self.client = client
        self.namespace = namespace
        self._environment = environment or {}

    def claim(self, name: str, phase: str = "Bound", **spec: Any) -> Json:
        """A PersistentVolumeClaim in this phase."""
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
        }
        self.client.create("persistentvolumeclaims", body, self.namespace)
        return self.set_claim(name, phase)

    def set_claim(self, name: str, phase: str) -> Json:
        status = {"status": {"phase": phase}}
        return self.client.patch("persistentvolumeclaims", name, status, self.namespace, sub="status")

    def pod_of(self, job: Json, port: int | None = None) -> Pod:
        """The Job controller makes a pod; ``port``: where it tells its progress."""
        body = pod_from_template(job)
        if port:
            container = body["spec"]["containers"][0]
            container["args"] = [str(port) if each == "9464" else each for each in container["args"]]
        return Pod(self, self.client.create("pods", body, self.namespace))

    def job(self, name: str, cache: str, **annotations: str) -> Json:
        """One of a user's, suspended as a queue would."""
        pod = {"restartPolicy": "Never", "containers": [{"name": "train", "image": "train"}]}
        metadata = {"name": name, "labels": {"modelcache.dev/cache": cache}, "annotations": annotations}
        spec = {"suspend": True, "template": {"spec": pod}}
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
        return self.client.create("jobs", body, self.namespace)

    def made_pod(self, job: Json, number: int, timeout_s: float = 20) -> Pod:
        """The first, second, ... pod of a Job, made by a Job controller that works."""

        def found() -> Json | None:
            pods = self.client.list("pods", self.namespace, f"batch.kubernetes.io/job-name={job['metadata']['name']}")
            return dict(
                enumerate(sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])), start=1)
            ).get(number)

        return Pod(self, eventually(found, f"pod {number} of Job {job['metadata']['name']}", timeout_s))

    def workload(
        self,
        cache: str,
        claim: str,
        name: str = "",
        gated: bool = True,
        port: int | None = None,
        init: bool = True,
        inject: str = "",
        affinity: Json | None = None,
        peers: str = "",
    ) -> Pod:
        """A serving pod, as the chart or a user writes it; ``peers``: the value of MODELCACHE_PEERS."""
        name = name or f"serve-{uuid.uuid4().hex[:6]}"
        arguments = ["sync", "--spec", "/etc/modelcache/modelcache.yaml", "--volume", "/models"]
        spec: Json = {
            "automountServiceAccountToken": False,
            "initContainers": [
                {
                    "name": CONTAINER,
                    "image": "modelcache/init-sync",
                    "args": arguments + (["--metrics-port", str(port)] if port else []),
                    "volumeMounts": [{"name": "models", "mountPath": "/models"}],
                }
            ],
            "containers": [{"name": "serve", "image": "serve"}],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}],
        }
        if peers:
            spec["initContainers"][0]["env"] = [{"name": "MODELCACHE_PEERS", "value": peers}]
        if not init:
            del spec["initContainers"]
        if affinity:
            spec["affinity"] = affinity
        if gated:
            spec["schedulingGates"] = [{"name": "modelcache.dev/complete"}]
        metadata: Json = {"name": name, "labels": {"modelcache.dev/cache": cache}}
        if inject:
            metadata["annotations"] = {"modelcache.dev/inject": inject}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        return Pod(self, self.client.create("pods", body, self.namespace))

    def end_job(self, job: Json, outcome: str, reason: str = "", message: str = "") -> Json:
        """The Job controller says that it is over: Complete or Failed."""
        status = finished_job(job, outcome, reason, message)
        return self.client.patch("jobs", job["metadata"]["name"], {"status": status}, self.namespace, sub="status")

    def sync(self, job: Json, volume: Path, endpoint: str, peer: str = "") -> tuple[Pod, int]:
        """Run the Job's pod to its end with the real init-sync; the Job's own end is left to the test.

        ``peer``: what the address that it was given for its peer stands for.
        """
        pod = self.pod_of(job)
        return pod, self.init(pod, volume, endpoint, peer)

    def init(self, pod: Pod, volume: Path, endpoint: str, peer: str = "") -> int:
        """Run the init container of a serving pod to its end with the real init-sync."""
        pod.running()
        code, message = self.run_init_sync(pod, volume, endpoint, peer)
        pod.finish(code, message)
        return code

    def run_init_sync(self, pod: Pod, volume: Path, endpoint: str, peer: str = "") -> tuple[int, str]:
        """Exit code and termination message of the container's own arguments, with its paths mapped to ours."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            meta = pod.raw["metadata"]
            cache = meta["labels"]["modelcache.dev/cache"]
            config = self.client.get("configmaps", f"{cache}-modelcache", self.namespace)
            files = {"modelcache.yaml": config["data"]["modelcache.yaml"]}
            if pins := (meta.get("annotations") or {}).get("modelcache.dev/pins"):
                files["pins.json"] = pins
            for name, text in files.items():
                (Path(folder) / name).write_text(text)
            mapped = {f"/etc/modelcache/{name}": f"{folder}/{name}" for name in files}
            mapped |= {"/models": str(volume), "9464": "0"}
            arguments = [mapped.get(each, each) for each in pod.container["args"]]
            command = [sys.executable, "-m", "init_sync", *arguments, "--report", str(report)]
            command += ["--give-up-after", "1"] if arguments[0] == "sync" else []
            environment = {"HF_ENDPOINT": endpoint, "PATH": "/usr/bin:/bin", "HOME": folder, **self._environment}
            if any(each["name"] == "MODELCACHE_PEERS" for each in pod.container.get("env", ())):
                environment["MODELCACHE_PEERS"] = peer
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
            text = report.read_text().strip() if report.exists() else done.stderr[-500:].strip()
            assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES, "tests have small reports"
            return done.returncode, text


class Pod:
    """One pod, and what happens to it."""

    def __init__(self, kubelet: Kubelet, raw: Json) -> None:
        self._kubelet = kubelet
        self.raw = raw
        self._restarts = 0
        self._last: Json = {}

    @property
    def name(self) -> str:
        return str(self.raw["metadata"]["name"])

    @property
    def in_init(self) -> bool:
        return any(each["name"] == CONTAINER for each in self.raw["spec"].get("initContainers", ()))

    @property
    def container(self) -> Json:
        spec = self.raw["spec"]
        everything = [*spec.get("initContainers", ()), *spec.get("containers", ())]
        return next(each for each in everything if each["name"] == CONTAINER)

    def fresh(self) -> Json:
        return self._kubelet.client.get("pods", self.name, self._kubelet.namespace)

    @property
    def gated(self) -> bool:
        return bool(self.fresh()["spec"].get("schedulingGates"))

    def unschedulable(self, message: str) -> None:
        self._write(unschedulable(message))

    def waiting(self, reason: str, message: str = "", placed_at: str = "") -> None:
        """``placed_at``: when it got its node."""
        self._status(waiting(reason, message), "Pending")
        if placed_at:
            self._write({"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": placed_at}]})

    def running(self, address: str = "127.0.0.1") -> None:
        self._status({"running": {"startedAt": now()}}, "Pending" if self.in_init else "Running", address)

    def finish(self, exit_code: int, report: Mapping[str, Any] | str = "", reason: str = "", at: str = "") -> None:
        """The sync container ends; ``report`` is its termination message."""
        message = report if isinstance(report, str) else json.dumps(report)
        ended = Ended(exit_code, message, now(), at or now(), reason).json()
        over = "Succeeded" if exit_code == 0 else "Failed"
        self._status({"terminated": ended}, "Pending" if self.in_init else over)
        self._last = {"terminated": ended}

    def restart(self) -> None:
        """The kubelet starts the container once more, in the same pod."""
        self._restarts += 1
        self.running()

    def delete(self) -> None:
        self._kubelet.client.delete("pods", self.name, self._kubelet.namespace)

    def _status(self, state: Json, phase: str, address: str = "") -> None:
        last = self._last if "terminated" not in state else {}
        container = ContainerStatus(CONTAINER, self.container["image"], state, last, self._restarts).json()
        key = "initContainerStatuses" if self.in_init else "containerStatuses"
        self._write(
            {"phase": phase, key: [container]} | ({"podIP": address, "podIPs": [{"ip": address}]} if address else {})
        )

    def _write(self, status: Json) -> None:
        client, namespace = self._kubelet.client, self._kubelet.namespace
        client.patch("pods", self.name, {"status": status}, namespace, sub="status")
