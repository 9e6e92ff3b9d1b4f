"""What the label costs at the creation of a pod, as a markdown table: ``python tests/bench/bench_admission.py``.

Runs on a real kube-apiserver, which ``KUBEBUILDER_ASSETS`` names. All rows are measured in turn, one creation each (a
server dry run, so that nothing piles up), until each has ``--samples``: what else the machine does hits them alike. The
first row is a namespace that no release serves.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from admission.ground import ALONE, Ground
from admission.pods import INJECT, claim, container, pod
from support import tools
from support.cluster import prepared
from support.helm import Helm, Release
from support.kubeapi import ApiError, RealApi, assets
from support.waiting import eventually

Json = dict[str, Any]
CACHES = (1, 10, 100)
NOT_SERVED = "not-served"
WRITTEN_OUT = pod(initContainers=[container("init-sync", {"/models": "weights"})], volumes=[claim("models")])


def rows() -> dict[str, tuple[str, Json]]:
    """By what the table says of it: namespace and pod."""
    found = {"without policies": (NOT_SERVED, pod())}
    for count in CACHES:
        namespace, caches = _namespace(count), f"{count} caches" if count > 1 else "1 cache"
        found[f"without the label, {caches}"] = (namespace, pod(cache=None))
        found[f"completed, {caches}"] = (namespace, pod())
        found[f"written out, {caches}"] = (namespace, WRITTEN_OUT)
        found[f"opted out, {caches}"] = (namespace, pod(notes={INJECT: "false"}))
        found[f"refused, {caches}"] = (namespace, pod(cache="none"))
    return found


def _namespace(count: int) -> str:
    return f"caches-{count}"


def prepare(ground: Ground) -> None:
    namespaces = [_namespace(count) for count in CACHES]
    for each in [NOT_SERVED, *namespaces]:
        ground.namespace(each)
    ground.install(Release({**ALONE, "operator": {"namespaces": namespaces}}, "bench", "bench"))
    for count, namespace in zip(CACHES, namespaces, strict=True):
        for number in range(count):
            ground.cache("cache" if number == 0 else f"cache-{number}", namespace)
    for count, namespace in zip(CACHES, namespaces, strict=True):
        last = pod(cache=f"cache-{count - 1}" if count > 1 else "cache")
        eventually(partial(_joined, ground, last, namespace), "the policies act", 60)


def _joined(ground: Ground, body: Json, namespace: str) -> bool:
    return "initContainers" in ground.create(body, namespace)["spec"]


def measure(ground: Ground, samples: int) -> dict[str, list[float]]:
    """Milliseconds."""
    wanted = rows()
    times: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(samples):
        for name, (namespace, body) in wanted.items():
            began = time.perf_counter()
            try:
                ground.create(body, namespace)
            except ApiError:
                if "refused" not in name:
                    raise
            times[name].append((time.perf_counter() - began) * 1000)
    return times


def table(times: dict[str, list[float]]) -> str:
    base = statistics.median(times["without policies"])
    lines = ["| pod, caches in its namespace | median | p90 | ratio |", "| --- | --- | --- | --- |"]
    for name, found in times.items():
        median, p90 = statistics.median(found), statistics.quantiles(found, n=10)[-1]
        lines.append(f"| {name} | {median:.1f} ms | {p90:.1f} ms | {median / base:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    samples = parser.parse_args().samples
    programs, helm = assets(), tools.helm()
    if programs is None or helm is None:
        raise SystemExit(
            "set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd of Kubernetes 1.36; Helm: make install"
        )
    with tempfile.TemporaryDirectory() as folder, RealApi(programs, Path(folder), service_accounts=True) as real:
        ground = Ground(prepared(real.kubeconfig(), None, real).client, real, Helm(helm, Path(folder)))
        prepare(ground)
        measure(ground, 20)  # warm
        print(table(measure(ground, samples)))


if __name__ == "__main__":
    main()
