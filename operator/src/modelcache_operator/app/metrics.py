"""Metrics for Prometheus, made at each scrape from what the API knows, so that a restart changes none of them.

labels namespace, cache:
modelcache_phase{phase}                       1 for the present phase, 0 for the others
modelcache_complete                           1 while a GPU may start
modelcache_reason{reason}                     1 for the reason why not; absent while one may
modelcache_size_bytes, modelcache_present_bytes
modelcache_files, modelcache_present_files
modelcache_verified_bytes                     that the present or last sync read back from the volume and hashed
modelcache_rate_bytes_per_second              of a running sync
modelcache_last_verified_timestamp_seconds    when the model verified longest ago was
modelcache_consecutive_sync_failures          sync Jobs that failed finally, one after the other
modelcache_sync_duration_seconds              histogram, buckets from 1 s to 8 h; warm starts count too
modelcache_syncs_total{outcome}               succeeded, failed
modelcache_fetched_bytes_total                from the hub
modelcache_served_bytes_total                 found on the volume instead of being fetched again
modelcache_hub_errors_total{reason}           syncs that ended for a reason of the hub's
modelcache_gate_wait_seconds                  summary: pods let go, and the seconds they had waited
modelcache_gate_gpu_seconds_total             the same seconds, times the GPUs that each of them asks for
modelcache_gate_waiting_pods                  pods that wait now
modelcache_gate_longest_wait_seconds          of those

modelcache_operator_active, _queue_length, _tasks, _reconciles_total, _errors_total, _status_writes_total,
_gates_opened_total, _api_requests_total, _last_full_list_timestamp_seconds
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from modelcache_operator.app.settings import port_refused
from modelcache_operator.core import moments
from modelcache_operator.core.facts import CacheFacts, PodFacts
from modelcache_operator.core.gates import waiting_pods
from modelcache_operator.core.status import Phase, Totals
from modelcache_operator.core.totals import BEYOND, BUCKETS_S
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.store import Store

LABELS = ("namespace", "cache")


@dataclass(frozen=True, slots=True)
class Vitals:
    """Figures of the operator itself, each as a function that gives the present value."""

    gauges: dict[str, tuple[str, Callable[[], float]]]
    counters: dict[str, tuple[str, Callable[[], float]]]


class OperatorCollector(Collector):
    """Reads the store from the thread of the scrape; every look at it is one copy of a dictionary's values."""

    def __init__(self, store: Store, vitals: Vitals, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._vitals = vitals
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        caches = [cache for cache in list(self._store.caches.values()) if cache.status.phase]
        yield _phases(caches)
        yield _reasons(caches)
        yield from _gauges(caches)
        yield _durations(caches)
        yield from _counters(caches)
        yield from _gate_waits(caches)
        yield from self._waiting(caches)
        yield from self._own()

    def _waiting(self, caches: list[CacheFacts]) -> Iterator[Metric]:
        count = GaugeMetricFamily("modelcache_gate_waiting_pods", "Pods that the gate holds.", labels=LABELS)
        longest = GaugeMetricFamily(
            "modelcache_gate_longest_wait_seconds", "How long the oldest of them waits.", labels=LABELS
        )
        now = self._clock()
        for cache in caches:
            held = waiting_pods(self._pods(cache))
            count.add_metric((cache.namespace, cache.name), len(held))
            longest.add_metric((cache.namespace, cache.name), max(0.0, now - held[0].created_at) if held else 0.0)
        yield count
        yield longest

    def _pods(self, cache: CacheFacts) -> list[PodFacts]:
        return list(self._store.pods.get(Key(cache.namespace, cache.name), {}).values())

    def _own(self) -> Iterator[Metric]:
        for name, (text, value) in self._vitals.gauges.items():
            yield GaugeMetricFamily(f"modelcache_operator_{name}", text, value=value())
        for name, (text, value) in self._vitals.counters.items():
            yield CounterMetricFamily(f"modelcache_operator_{name}", text, value=value())


def _phases(caches: Iterable[CacheFacts]) -> Metric:
    family = GaugeMetricFamily("modelcache_phase", "1 for the present phase.", labels=(*LABELS, "phase"))
    for cache in caches:
        for phase in Phase:
            family.add_metric((cache.namespace, cache.name, phase), float(cache.status.phase is phase))
    return family


def _reasons(caches: Iterable[CacheFacts]) -> Metric:
    family = GaugeMetricFamily("modelcache_reason", "1 for why no GPU may start.", labels=(*LABELS, "reason"))
    for cache in caches:
        found = cache.status.condition("Complete")
        if found and found.status != "True" and found.reason:
            family.add_metric((cache.namespace, cache.name, found.reason), 1.0)
    return family


def _gauges(caches: Iterable[CacheFacts]) -> Iterator[Metric]:
    values: dict[str, tuple[str, Callable[[CacheFacts], float | None]]] = {
        "complete": ("1 while a GPU may start.", lambda cache: float(cache.status.complete)),
        "size_bytes": ("Bytes that the models need.", lambda cache: cache.status.bytes_total),
        "present_bytes": ("Bytes of them on the volume.", lambda cache: cache.status.bytes_present),
        "verified_bytes": ("Bytes that the last sync read back and hashed.", lambda cache: cache.status.bytes_verified),
        "files": ("Files that the models need.", lambda cache: sum(each.files_total for each in cache.status.models)),
        "present_files": (
            "Files of them that are whole.",
            lambda cache: sum(each.files_present for each in cache.status.models),
        ),
        "rate_bytes_per_second": ("Rate of a running sync.", lambda cache: cache.status.bytes_per_second),
        "last_verified_timestamp_seconds": (
            "When the model verified longest ago was.",
            lambda cache: moments.parse(cache.status.verified_at),
        ),
        "consecutive_sync_failures": ("Sync Jobs that failed in a row.", lambda cache: cache.status.sync.failures),
    }
    for name, (text, value) in values.items():
        family = GaugeMetricFamily(f"modelcache_{name}", text, labels=LABELS)
        for cache in caches:
            if (found := value(cache)) is not None:
                family.add_metric((cache.namespace, cache.name), found)
        yield family


def _durations(caches: Iterable[CacheFacts]) -> Metric:
    family = HistogramMetricFamily("modelcache_sync_duration_seconds", "How long syncs took.", labels=LABELS)
    for cache in caches:
        totals = cache.status.totals
        if totals.syncs:
            family.add_metric((cache.namespace, cache.name), buckets=_cumulative(totals), sum_value=totals.sync_s)
    return family


def _cumulative(totals: Totals) -> list[tuple[str, float]]:
    found, count = [], 0
    for end in (*map(str, BUCKETS_S), BEYOND):
        count += totals.durations.get(end, 0)
        found.append((end if end == BEYOND else f"{end}.0", float(count)))
    return found


def _counters(caches: Iterable[CacheFacts]) -> Iterator[Metric]:
    syncs = CounterMetricFamily("modelcache_syncs", "Syncs that ended.", labels=(*LABELS, "outcome"))
    fetched = CounterMetricFamily("modelcache_fetched_bytes", "Bytes received from the hub.", labels=LABELS)
    served = CounterMetricFamily("modelcache_served_bytes", "Bytes found on the volume.", labels=LABELS)
    errors = CounterMetricFamily(
        "modelcache_hub_errors", "Syncs that ended for a reason of the hub's.", labels=(*LABELS, "reason")
    )
    for cache in caches:
        labels, totals = (cache.namespace, cache.name), cache.status.totals
        syncs.add_metric((*labels, "succeeded"), totals.syncs - totals.failed_syncs)
        syncs.add_metric((*labels, "failed"), totals.failed_syncs)
        fetched.add_metric(labels, totals.bytes_fetched)
        served.add_metric(labels, totals.bytes_from_cache)
        for reason, count in totals.hub_errors.items():
            errors.add_metric((*labels, reason), count)
    yield from (syncs, fetched, served, errors)


def _gate_waits(caches: Iterable[CacheFacts]) -> Iterator[Metric]:
    waits = SummaryMetricFamily("modelcache_gate_wait_seconds", "Seconds that pods waited at the gate.", labels=LABELS)
    gpus = CounterMetricFamily(
        "modelcache_gate_gpu_seconds", "Those seconds, times the GPUs that each pod asks for.", labels=LABELS
    )
    for cache in caches:
        labels, gate = (cache.namespace, cache.name), cache.status.gate
        waits.add_metric(labels, count_value=gate.released, sum_value=gate.wait_s)
        gpus.add_metric(labels, gate.gpu_s)
    yield from (waits, gpus)


def serve(collector: OperatorCollector, port: int) -> int:
    """In a thread of its own: a scrape of thousands of caches must not hold up the gate. Returns the port.

    It answers until the process is gone. Stopping it would take up to half a second, in which the event loop stands.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Undescribed(collector))
    address = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - Prometheus is elsewhere
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        raise port_refused("--metrics-port", port, error) from error
    return int(server.server_port)


class _Undescribed(Collector):
    """Registering a collector without ``describe`` would run it once; the store is empty then."""

    def __init__(self, inner: OperatorCollector) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        return self._inner.collect()

    def describe(self) -> Iterable[Metric]:
        return ()
