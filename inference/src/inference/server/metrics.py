"""Every Prometheus series of this process.

    multitalk_ready                              1 while requests are accepted, else 0
    multitalk_load_seconds                       how long loading the model took; 0 until it is loaded
    multitalk_load_bytes{component}              bytes read from the volume so far
    multitalk_requests_total{status}             POST /v1/videos by how each ended, see below
    multitalk_queue_depth                        videos that wait for the device
    multitalk_running                            1 while the device generates
    multitalk_step_seconds                       histogram: one sampling step
    multitalk_generation_seconds                 histogram: one finished video, start to end on the device
    multitalk_queue_wait_seconds                 histogram: from acceptance to the device
    multitalk_video_seconds_total                seconds of finished video
    multitalk_results_bytes                      finished videos on the scratch directory
    multitalk_gpu_memory_bytes{kind}             allocated, reserved and peak bytes on the device; absent on a CPU
    multitalk_http_requests_total{method,route,code}  responses; method: GET, HEAD, POST, DELETE, other

Statuses of multitalk_requests_total: completed, failed, cancelled, interrupted (accepted, but the server stopped before
it was done); rejected (queue full, loading or stopping) and invalid (wrong, too large, too slow). Each POST ends in
exactly one of them.

Each server has a registry of its own, so that several can live in one process (as tests do).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference.server.jobs import INTERRUPTED

_STEP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
_JOB_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 2400, 4800, 9600)
REQUEST_STATUSES = ("completed", "failed", "cancelled", INTERRUPTED, "rejected", "invalid")


class ServerMetrics:
    """The series of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.ready = Gauge("multitalk_ready", "1 while requests are accepted", registry=registry)
        self.load_seconds = Gauge("multitalk_load_seconds", "Time that loading the model took", registry=registry)
        self.load_bytes = Gauge("multitalk_load_bytes", "Bytes read from the volume", ["component"], registry=registry)
        self.requests = Counter("multitalk_requests", "Video requests by outcome", ["status"], registry=registry)
        self.step_seconds = Histogram(
            "multitalk_step_seconds", "Time of one sampling step", buckets=_STEP_BUCKETS, registry=registry
        )
        self.generation_seconds = Histogram(
            "multitalk_generation_seconds", "Time of one finished video", buckets=_JOB_BUCKETS, registry=registry
        )
        self.queue_wait_seconds = Histogram(
            "multitalk_queue_wait_seconds",
            "Time from acceptance to the device",
            buckets=_JOB_BUCKETS,
            registry=registry,
        )
        self.video_seconds = Counter("multitalk_video_seconds", "Seconds of finished video", registry=registry)
        self.http_requests = Counter(
            "multitalk_http_requests", "HTTP responses", ["method", "route", "code"], registry=registry
        )
        for status in REQUEST_STATUSES:
            self.requests.labels(status)
        registry.register(DeviceMemory())

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge whose value is computed when it is scraped."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)


class DeviceMemory(Collector):
    """Asks torch, if the engine has imported it and it sees a GPU; the server itself does not import torch."""

    def collect(self) -> Iterable[Metric]:
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
            return
        family = GaugeMetricFamily("multitalk_gpu_memory_bytes", "Device memory of this process", labels=["kind"])
        family.add_metric(["allocated"], torch.cuda.memory_allocated())
        family.add_metric(["reserved"], torch.cuda.memory_reserved())
        family.add_metric(["peak"], torch.cuda.max_memory_allocated())
        yield family
