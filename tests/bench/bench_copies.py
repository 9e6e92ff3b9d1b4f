"""Figures of one cache with a copy on each of many nodes: ``python tests/bench/bench_copies.py 1000``.

Nodes are plain objects, and threads act as the Job controller and the kubelets: a Job's pod succeeds as soon as the Job
is seen. On a real kube-apiserver if ``KUBEBUILDER_ASSETS`` names one, else on the in-memory API.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.cluster import Space, running
from support.operator_process import REAL, OperatorProcess
from support.reports import complete
from support.waiting import eventually

Json = dict[str, Any]
NAMESPACE = "default"
DIGEST = f"sha256:{'5' * 64}"
THREADS = 8


def make_node(space: Space, number: int) -> None:
    name = f"ip-10-0-{number // 250}-{number % 250}.eu-central-1.compute.internal"
    labels = {"kubernetes.io/hostname": name, **{f"example.com/label-{each}": "value" for each in range(20)}}
    space.client.create("nodes", {"metadata": {"name": name, "labels": labels}}, "")
    images = [{"names": [f"registry.example/image-{each}@sha256:{'0' * 64}"], "sizeBytes": 1} for each in range(50)]
    status = {"conditions": [{"type": "Ready", "status": "True"}], "images": images}
    space.client.patch("nodes", name, {"status": status}, "", sub="status")
    space.client.patch("nodes", name, {"spec": {"taints": None}}, "")


def sync(space: Space, job: Json, number: int) -> None:
    manifest = job["metadata"]["annotations"]["modelcache.dev/manifest"]
    space.complete(job, complete(digest=DIGEST, manifest=manifest, volumeId=f"{number + 1:032x}"[::-1]))


def kubelets(space: Space, stop: threading.Event, pool: ThreadPoolExecutor) -> None:
    """Each Job that appears succeeds."""
    seen: set[str] = set()
    for event in space.client.watch("jobs", space.namespace, stop):
        job = event["object"]
        if job["metadata"]["uid"] not in seen:
            seen.add(job["metadata"]["uid"])
            pool.submit(sync, space, job, len(seen))


def measure(space: Space, count: int, parallel: int) -> Json:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: make_node(space, number), range(count)))
    stop = threading.Event()
    kubeconfig = space.cluster.kubeconfig
    with (
        ThreadPoolExecutor(THREADS) as pool,
        OperatorProcess(
            kubeconfig, "--per-node", "--full-list-seconds", "120", namespaces=(NAMESPACE,), module=REAL
        ) as operator,
    ):
        threading.Thread(target=kubelets, args=(space, stop, pool), daemon=True).start()
        idle = operator.memory_mib()
        calls = operator.metric("modelcache_operator_api_requests_total")
        writes = operator.metric("modelcache_operator_status_writes_total")
        began = time.monotonic()
        space.kubelet.claim("models", accessModes=["ReadWriteMany"])
        space.cache(volume={"claimName": "models", "perNode": {"maxParallel": parallel}})
        done = f"{count}/{count}"
        eventually(lambda: (space.status().get("summary") or {}).get("nodes") == done, done, 900, interval_s=1.0)
        took = time.monotonic() - began
        stop.set()
        return {
            "nodes": count,
            "maxParallel": parallel,
            "seconds until all are complete": round(took, 1),
            "status bytes": len(json.dumps(space.status(), separators=(",", ":"))),
            "status writes": operator.metric("modelcache_operator_status_writes_total") - writes,
            "seconds between writes": round(
                took / max(1.0, operator.metric("modelcache_operator_status_writes_total") - writes), 2
            ),
            "requests per copy": round((operator.metric("modelcache_operator_api_requests_total") - calls) / count, 2),
            "MiB before": round(idle, 1),
            "MiB after": round(operator.memory_mib(), 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("nodes", type=int, nargs="?", default=1000)
    parser.add_argument("--parallel", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as found:
        for key, value in measure(Space(found, NAMESPACE), options.nodes, options.parallel).items():
            print(f"{key}: {value}")


if __name__ == "__main__":
    main()
