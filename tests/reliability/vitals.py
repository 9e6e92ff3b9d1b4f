"""What a long run does to a process: memory, threads, open files and its own figures, and whether they grow."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.request import urlopen

WARM_UP = 0.2
"""Share of a run that is left out: caches fill, and the allocator finds its size."""
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    memory_mib: float
    threads: float
    files: float
    cpu_s: float
    queue: float
    reconciles: float
    tasks: float


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure over the run, its beginning left out."""

    first: float
    last: float
    """Medians of the first and the last quarter."""
    highest: float
    per_hour: float
    """Slope of the line through all samples."""


def sample(pid: int, metrics_port: int, began: float) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = metrics(metrics_port)
    return Sample(
        at_s=round(time.monotonic() - began, 1),
        memory_mib=int(status.split("VmRSS:")[1].split()[0]) / 1024,
        threads=int(status.split("Threads:")[1].split()[0]),
        files=len(os.listdir(f"/proc/{pid}/fd")),
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        queue=own["modelcache_operator_queue_length"],
        reconciles=own["modelcache_operator_reconciles_total"],
        tasks=own.get("modelcache_operator_tasks", 0.0),
    )


def metrics(port: int) -> dict[str, float]:
    """The operator's own figures."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("modelcache_operator_")}


def trends(samples: list[Sample]) -> dict[str, Trend]:
    """Of each figure that should stay flat; empty when there is too little to tell."""
    warm = samples[int(len(samples) * WARM_UP) :]
    if len(warm) < 8:
        return {}
    times = [each.at_s for each in warm]
    names = ("memory_mib", "threads", "files", "queue", "tasks")
    return {name: _trend(times, [asdict(each)[name] for each in warm]) for name in names}


def _trend(times: list[float], values: list[float]) -> Trend:
    slope, _ = statistics.linear_regression(times, values)
    quarter = len(values) // 4
    first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
    return Trend(first, last, max(values), slope * HOUR_S)
