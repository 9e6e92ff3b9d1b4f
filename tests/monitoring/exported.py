"""What the four processes really export: each is run, given something to count, and scraped.

The operator runs against the in-memory API, with one cache that gets complete, one whose token is refused, one with a
copy on every node, and one that is scrubbed and asked about updates, and damaged. The sync is held up by its hub after
some errors. The peer server has sent a file. The server has loaded, made a video and refused a request.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock
from urllib.request import urlopen

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from inference.server.metrics import DeviceMemory
from inference_server.media import png, wav
from inference_server.process import ServerProcess
from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from support import reports
from support.cluster import Space, prepared
from support.hub import Fault, LocalHub
from support.kubeapi import LocalApi
from support.operator_process import OperatorProcess
from support.peer import peer_process
from support.sync import start_sync
from support.three_models import LARGE, complete, three_models
from support.waiting import eventually

NAMESPACE = "models"


@dataclass(frozen=True, slots=True)
class Series:
    """All series of one name: the type of their family, and the values that each label had."""

    kind: str
    labels: dict[str, set[str]] = field(default_factory=dict)

    def note(self, labels: Mapping[str, str]) -> None:
        for name, value in labels.items():
            self.labels.setdefault(name, set()).add(value)


Exported = dict[str, Series]


def expositions(folder: Path) -> dict[str, str]:
    """What ``/metrics`` answers, by program."""
    return {
        "operator": _operator(folder / "operator"),
        "sync": _sync(folder / "sync"),
        "peer server": _peer_server(folder / "peer"),
        "server": _server(folder / "server"),
        "server on a GPU": _device_memory(),
    }


def exported(texts: Iterable[str]) -> Exported:
    """All series together. ``_created`` comes from the client library, not from the programs."""
    found: Exported = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    found.setdefault(sample.name, Series(family.type)).note(sample.labels)
    return found


def _scrape(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def _operator(folder: Path) -> str:
    folder.mkdir()
    with LocalApi() as api:
        kubeconfig = api.kubeconfig(folder)
        space = Space(prepared(kubeconfig), NAMESPACE)
        space.client.create("namespaces", {"metadata": {"name": NAMESPACE}}, "")
        with OperatorProcess(kubeconfig, "--per-node", namespaces=(NAMESPACE,)) as operator:
            _two_caches(space)
            space.kubelet.claim("spread", accessModes=["ReadWriteMany"])
            space.cache("spread", volume={"claimName": "spread", "perNode": {}})
            _damaged_cache(space)
            late = ("copies{", "update_available{", "unused_bytes{", "damaged_pod_info{")
            port = operator.metrics_port
            eventually(lambda: all(f"modelcache_{name}" in _scrape(port) for name in late), "all is exported")
            text = _scrape(operator.metrics_port)
        space.client.close()
    return text


def _two_caches(space: Space) -> None:
    for name in ("whole", "refused"):
        space.kubelet.claim(name)
        space.cache(name, claim=name)
    waiting = space.kubelet.workload("whole", "whole")
    space.complete(space.job(name="whole"), reports.complete("whole"))
    eventually(lambda: not waiting.gated, "the gate opens")
    job = space.job(name="refused")
    pod = space.kubelet.pod_of(job)
    pod.running()
    pod.finish(2, reports.incomplete(Reason.GATED_REPO, "no access", "refused"))
    space.kubelet.end_job(job, "Failed", "BackoffLimitExceeded", "it failed")
    space.until("Failed", "refused")
    eventually(lambda: space.events(waiting.name), "the pod is told, and counted")


def _damaged_cache(space: Space) -> None:
    """The hub was asked about it once."""
    space.kubelet.claim("daily")
    space.cache("daily", claim="daily", scrub={}, updates={})
    job = space.job(name="daily")
    manifest = job["metadata"]["annotations"][names.DIGEST_ANNOTATION]
    space.complete(job, reports.complete("daily", manifest=manifest, bytesUnused=1))
    space.until("Ready", "daily")
    checked = {"status": {"updates": {"checkedAt": "2026-01-01T00:00:00Z"}}}
    space.client.patch("modelcaches", "daily", checked, NAMESPACE, sub="status")
    serves = space.kubelet.workload("daily", "daily", gated=False)
    space.client.bind(serves.name, NAMESPACE, "node-1")
    damage = reports.incomplete(Reason.CHECKSUM_MISMATCH, "weights.safetensors differs", "daily")
    serves.finish(1, damage, at="2099-01-01T00:00:00Z")
    space.until("Degraded", "daily")


def _sync(folder: Path) -> str:
    volume, output = folder / "volume", folder / "output"
    volume.mkdir(parents=True)
    (folder / "hub").mkdir()
    with LocalHub(folder / "hub") as hub:
        spec = three_models(folder / "hub")
        hub.add_fault(Fault("status", match=("model_info",), status=503, times=1))
        hub.add_fault(Fault("stall", match=("blob",), repo="owner/base", after_bytes=300_000))
        with output.open("w") as out:
            flags = ("--metrics-port", "0", "--stall-timeout", "60", "--peer", "http://127.0.0.1:9")
            process = start_sync(spec, volume, hub, *flags, stdout=out)
        try:
            said = re.compile(r"http://localhost:(\d+)/status")
            port = int(eventually(lambda: said.search(output.read_text()), "the line that names the port")[1])
            eventually(lambda: "hub_errors_total{" in _scrape(port), "an error of the hub is counted")
            eventually(lambda: "modelcache_sync_complete{" in _scrape(port), "models are known")
            eventually(lambda: "peers_left_out_total{" in _scrape(port), "a peer is left out")
            return _scrape(port)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def _peer_server(folder: Path) -> str:
    volume = folder / "volume"
    volume.mkdir(parents=True)
    with LocalHub(folder / "hub") as hub:
        complete(three_models(folder / "hub"), volume, hub)
    with peer_process(volume) as (served, _, _):
        assert served.ask("/owner/base/resolve/main/weights.safetensors").body == LARGE
        return served.ask("/metrics").body.decode()


def _server(folder: Path) -> str:
    folder.mkdir()
    with _started(ServerProcess(folder)) as process, process.ready_client() as client:
        process.allow_steps(2)
        files = [("input_reference", ("face.png", png())), ("audio", ("voice.wav", wav()))]
        answer = client.post("/v1/videos", data={"prompt": "p", "steps": "2"}, files=files)
        assert answer.status_code == 200, answer.text
        path = f"/v1/videos/{answer.json()['id']}"
        eventually(lambda: client.get(path).json()["status"] == "completed", "the video")
        text: str = client.get("/metrics").text
    return text


@contextmanager
def _started(process: ServerProcess) -> Iterator[ServerProcess]:
    try:
        yield process
    finally:
        process.close()


def _device_memory() -> str:
    """The one series that needs a GPU, made by its own code with a stand-in for torch."""
    torch = ModuleType("torch")
    seen: dict[str, bool | int] = {"is_available": True, "is_initialized": True}
    seen |= {"memory_allocated": 1, "memory_reserved": 2, "max_memory_allocated": 3}
    torch.cuda = SimpleNamespace(**{name: lambda value=value: value for name, value in seen.items()})  # type: ignore[attr-defined]
    registry = CollectorRegistry()
    registry.register(DeviceMemory())
    with mock.patch.dict(sys.modules, {"torch": torch}):
        return generate_latest(registry).decode()
