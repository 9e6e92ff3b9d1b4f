"""Prometheus for the time of the demo: which pods it scrapes, and what it answers.

Debian's program cannot ask a Kubernetes API, so it reads its targets from a file, which is written here by the rules of
docs/monitoring.md, "Without the Prometheus operator".
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pictures.questions import Series

Json = dict[str, Any]
EVERY_S = 1
PART = "app.kubernetes.io/component"
JOBS: Mapping[str, tuple[str, Callable[[Mapping[str, str]], bool]]] = {
    "modelcache-operator": ("metrics", lambda labels: labels.get(PART) == "operator"),
    "modelcache-sync": ("metrics", lambda labels: "modelcache.dev/generation" in labels),
    "multitalk": ("http", lambda labels: labels.get(PART) == "inference"),
}
"""By job: the name of the port, and whose pods."""


def configuration(targets: Path) -> str:
    """JSON, which is YAML."""
    found = [{"files": [str(targets)], "refresh_interval": "1s"}]
    scraped = {"job_name": "pods", "honor_labels": True, "file_sd_configs": found}
    times = {"scrape_interval": f"{EVERY_S}s", "scrape_timeout": f"{EVERY_S}s"}
    return json.dumps({"global": times, "scrape_configs": [scraped]})


def targets(pods: Sequence[Json]) -> list[Json]:
    """Of the pods that run, each port that one of ``JOBS`` wants."""
    return [
        {"targets": [f"{pod['status']['podIP']}:{port['containerPort']}"], "labels": _labels(pod, job)}
        for pod in pods
        if pod["status"].get("podIP") and pod["status"].get("phase") == "Running"
        for job, (name, wants) in JOBS.items()
        if wants(pod["metadata"].get("labels", {}))
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
        if port.get("name") == name
    ]


def _labels(pod: Json, job: str) -> Json:
    return {"job": job, "namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}


class Prometheus:
    """The program, from the ``with`` on; ``pods`` tells which there are."""

    def __init__(self, program: str, folder: Path, pods: Callable[[], Sequence[Json]]) -> None:
        self._folder, self._pods, self._stop = folder, pods, threading.Event()
        self._targets = folder / "targets.json"
        self._url = f"127.0.0.1:{_free_port()}"
        (folder / "prometheus.json").write_text(configuration(self._targets))
        self._command = [
            *(program, f"--config.file={folder}/prometheus.json", f"--storage.tsdb.path={folder}/data"),
            *(f"--web.listen-address={self._url}", "--log.level=error"),
        ]
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._targets.write_text("[]")
        self._process = subprocess.Popen(self._command)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._process.terminate()
        self._process.wait()

    def _follow(self) -> None:
        written = "[]"
        while not self._stop.wait(0.5):
            if (text := json.dumps(targets(self._pods()))) != written:
                partial = self._folder / "targets.partial"
                partial.write_text(text)
                partial.replace(self._targets)
                written = text

    def range(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        found = self._ask("query_range", query=expr, start=start_s, end=end_s, step=step_s)
        return [Series(each["metric"], tuple((float(t), float(v)) for t, v in each["values"])) for each in found]

    def instant(self, expr: str, at_s: float) -> list[Series]:
        found = self._ask("query", query=expr, time=at_s)
        return [Series(each["metric"], ((float(each["value"][0]), float(each["value"][1])),)) for each in found]

    def _ask(self, what: str, **query: object) -> list[Json]:
        url = f"http://{self._url}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as response:
            found: list[Json] = json.load(response)["data"]["result"]
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
