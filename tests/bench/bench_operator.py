"""Figures of the operator with many caches, as a markdown table: ``python tests/bench/bench_operator.py 1000 5000``.

Runs on a real kube-apiserver if ``KUBEBUILDER_ASSETS`` names one, else on the in-memory API, and says which. Each
cache has a claim, a Job that ended and a serving pod of its own. Latencies last from the answer to the write that
should cause something to the watch event that shows its effect.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml

from support.cluster import CRD
from support.kubeapi import LocalApi, RealApi, assets
from support.kubeapi.client import Client
from support.kubelet import Kubelet, Pod
from support.operator_process import REAL, OperatorProcess
from support.reports import complete
from support.waiting import eventually

Json = dict[str, Any]
NAMESPACE = "bench"
THREADS = 8
SAMPLES = 200
PER_SECOND = 10.0
"""Steady state: this many pods end their sync, or this many caches become complete, in a second."""


@dataclass
class Watcher:
    """When each change was seen first."""

    client: Client
    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def follow(self, resource: str, notice: Callable[[Json], str | None]) -> None:
        def run() -> None:
            for event in self.client.watch(resource, NAMESPACE, self.stop):
                if label := notice(event["object"]):
                    self.seen.setdefault((label, event["object"]["metadata"]["name"]), time.monotonic())

        threading.Thread(target=run, daemon=True).start()

    def when(self, label: str, name: str) -> float:
        found: float = eventually(lambda: self.seen.get((label, name)), f"{label} of {name}", 60)
        return found


@dataclass(frozen=True)
class Figures:
    """One row."""

    caches: int
    listed_s: float
    settled_s: float
    to_status: list[float]
    to_gate: list[float]
    memory_mib: float
    peak_mib: float
    requests_per_change: float


@contextlib.contextmanager
def api(folder: Path) -> Iterator[tuple[str, Path]]:
    programs = assets()
    if programs:
        with RealApi(programs, folder) as real:
            yield "kube-apiserver", real.kubeconfig()
    else:
        with LocalApi() as local:
            yield "in-memory API", local.kubeconfig(folder)


def measure(count: int, kubeconfig: Path) -> Figures:
    client = Client(kubeconfig)
    if client.find("customresourcedefinitions", "modelcaches.modelcache.dev", "") is None:
        client.create("customresourcedefinitions", yaml.safe_load(CRD.read_text()), "")
        eventually(lambda: client.list("modelcaches", "default") == [], "the API serves modelcaches")
    client.create("namespaces", {"metadata": {"name": NAMESPACE}}, "")
    kubelet = Kubelet(client, NAMESPACE)
    usual = ("--full-list-seconds", "600", "--lease-seconds", "45")
    operator = OperatorProcess(kubeconfig, *usual, namespaces=(NAMESPACE,), module=REAL)
    with ThreadPoolExecutor(THREADS) as pool:
        names = [f"c{number}" for number in range(count)]
        pods = list(pool.map(lambda name: _populate(kubelet, name), names))
        with operator:
            _say("waiting for the Jobs")
            eventually(
                lambda: len(client.list("jobs", NAMESPACE)) == count, "every cache has its Job", 600, interval_s=1
            )
            list(pool.map(lambda job: kubelet.end_job(job, "Complete"), client.list("jobs", NAMESPACE)))
            eventually(lambda: _all_ready(client), "every cache is Ready", 600, interval_s=1)
    _say("restarting")
    started = time.monotonic()
    with operator.running():
        listed = time.monotonic() - started
        eventually(
            lambda: _settled(operator, count), "the queue is empty", 300, interval_s=1
        )  # a scrape takes a second
        settled = time.monotonic() - started
        return _steady(client, kubelet, operator, pods, (listed, settled))


def _populate(kubelet: Kubelet, name: str) -> Pod:
    kubelet.claim(name)
    body = {
        "apiVersion": "modelcache.dev/v1alpha1",
        "kind": "ModelCache",
        "metadata": {"name": name},
        "spec": {
            "models": [{"name": "base", "repo": "owner/small", "path": "base"}],
            "volume": {"claimName": name},
        },
    }
    kubelet.client.create("modelcaches", body, NAMESPACE)
    return kubelet.workload(name, name, name=f"serve-{name}")


def _steady(
    client: Client, kubelet: Kubelet, operator: OperatorProcess, pods: list[Pod], start: tuple[float, float]
) -> Figures:
    watcher = Watcher(client)
    watcher.follow("modelcaches", _started)
    watcher.follow("pods", _opened)
    eventually(lambda: _idle(operator), "the operator and its watches have nothing left to do", 120)
    before = _metrics(operator)
    _say("pods end their sync")
    to_status = list(_paced(pods[:SAMPLES], lambda pod: _to_status(watcher, pod)))
    after = _metrics(operator)
    _say("pods at the gate")
    to_gate = list(_paced(pods[-SAMPLES:], lambda pod: _to_gate(watcher, kubelet, pod)))
    watcher.stop.set()
    requests = after["modelcache_operator_api_requests_total"] - before["modelcache_operator_api_requests_total"]
    writes = after["modelcache_operator_status_writes_total"] - before["modelcache_operator_status_writes_total"]
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return Figures(len(pods), *start, to_status, to_gate, operator.memory_mib(), peak, requests / writes)


def _paced(pods: list[Pod], act: Callable[[Pod], Callable[[], float]]) -> Iterator[float]:
    waits = []
    for pod in pods:
        began = time.monotonic()
        waits.append(act(pod))
        time.sleep(max(0.0, 1 / PER_SECOND - (time.monotonic() - began)))
    yield from (wait() for wait in waits)


def _to_status(watcher: Watcher, pod: Pod) -> Callable[[], float]:
    """From the pod's termination message to the status of its cache."""
    name = pod.name.removeprefix("serve-")
    pod.finish(0, complete(name, fetched=0))
    began = time.monotonic()
    return lambda: watcher.when("started", name) - began


def _to_gate(watcher: Watcher, kubelet: Kubelet, pod: Pod) -> Callable[[], float]:
    """From a cache that is complete to the removed gate of a pod that has just come."""
    cache = pod.name.removeprefix("serve-")
    late = kubelet.workload(cache, cache, name=f"late-{cache}")
    began = time.monotonic()
    return lambda: watcher.when("opened", late.name) - began


def _started(cache: Json) -> str | None:
    """The pod's run is in the status: the Jobs of this measurement have no pods."""
    return "started" if (cache.get("status") or {}).get("pods", {}).get("started") else None


def _opened(pod: Json) -> str | None:
    return None if pod["spec"].get("schedulingGates") else "opened"


def _all_ready(client: Client) -> bool:
    caches = client.list("modelcaches", NAMESPACE)
    pods = client.list("pods", NAMESPACE)
    ready = all((each.get("status") or {}).get("phase") == "Ready" for each in caches)
    return ready and all(_opened(each) for each in pods)


def _settled(operator: OperatorProcess, count: int) -> bool:
    found = _metrics(operator)
    return found["modelcache_operator_reconciles_total"] >= count and found["modelcache_operator_queue_length"] == 0


def _idle(operator: OperatorProcess) -> bool:
    """Less than a tenth of a core over a second: steady state begins."""

    def used() -> int:
        fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(1)
    return used() - before < 0.1 * os.sysconf("SC_CLK_TCK")


def _metrics(operator: OperatorProcess) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{operator.metrics_port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("modelcache_operator_")}


def table(figures: list[Figures], server: str) -> str:
    head = (
        "| caches (a claim, a Job and a pod each) | start until everything is listed | ... until all are looked at "
        "| termination message to status, median / p99 | complete to gate removed, median / p99 | memory after / peak "
        "| API requests per status change |"
    )
    rows = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for each in figures:
        rows.append(
            f"| {each.caches:,} | {each.listed_s:.1f} s | {each.settled_s:.1f} s | {_spread(each.to_status)} "
            f"| {_spread(each.to_gate)} | {each.memory_mib:.0f} / {each.peak_mib:.0f} MiB "
            f"| {each.requests_per_change:.2f} |"
        )
    about = f"Measured against {server} on {os.cpu_count()} cores; {SAMPLES} samples at {PER_SECOND:g} a second."
    return "\n".join([about, "", *rows])


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{statistics.median(ordered) * 1000:.0f} / {p99 * 1000:.0f} ms"


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures of the operator, as a markdown table.")
    parser.add_argument("counts", nargs="*", type=int, default=[1000, 5000], help="caches (default: 1000 5000)")
    parser.add_argument("--json", type=Path, help="file for the raw figures")
    options = parser.parse_args()
    figures, server = [], ""
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder, api(Path(folder)) as (name, kubeconfig):
            server = name
            _say(f"{count} caches on {server}")
            figures.append(measure(count, kubeconfig))
    print(table(figures, server))
    if options.json:
        options.json.write_text(json.dumps([each.__dict__ for each in figures]))


if __name__ == "__main__":
    main()
