"""Metrics for Prometheus: gauges computed at scrape time from what was observed, and the counters of this process.

labels namespace, cache:
modelcache_phase{phase}                       1 for the present phase, 0 for the others
modelcache_complete                           1 while a GPU may start
modelcache_stalled                            1 while only a change by a person can help
modelcache_reason{reason}                     1 for the reason why not; absent while one may
modelcache_size_bytes, modelcache_present_bytes
modelcache_files, modelcache_present_files
modelcache_verified_bytes                     that the present or last sync read back from the volume and hashed
modelcache_rate_bytes_per_second              of a running sync
modelcache_last_verified_timestamp_seconds    oldest verification among the models
modelcache_consecutive_sync_failures          sync Jobs that failed permanently, one after the other
modelcache_gate_waiting_pods                  pods that wait now
modelcache_gate_longest_wait_seconds          of those
modelcache_early_pods                         pods that wait with their GPU since spec.gate.leadTime removed the gate
modelcache_outdated_pods                      started pods whose commits are not those on the volume any more
modelcache_update_available                   1 when the hub has newer commits; absent until it was asked
modelcache_update_bytes                       that a resync would fetch
modelcache_scrub_period_seconds               with spec.scrub: how often the volume is read again
modelcache_unused_bytes                       on the volume, that prune would free; absent where no report says it
modelcache_damaged_pod_info{pod}              1 for pods that use a volume on which damage was found, 20 at most
modelcache_copies{state}                      with a copy on every node: complete, syncing, failed, waiting

modelcache_operator_active, _queue_length, _tasks, _last_full_list_timestamp_seconds, _api_requests_total
modelcache_operator_namespace_served{namespace}   by ``listing``

``counters`` has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from init_sync.core.reasons import Reason
from init_sync.shell.flags import ANY_HOST, WrongSettings
from init_sync.shell.listen import CannotListen, any_address
from modelcache_operator.app.counters import LABELS, Counters
from modelcache_operator.core import timestamps
from modelcache_operator.core.gate import waiting_pods
from modelcache_operator.core.observed import Cache
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.status import Phase
from modelcache_operator.core.task_status import UpdatesStatus
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror

MAX_DAMAGED = 20
DAMAGE = (Reason.CHECKSUM_MISMATCH, Reason.SIZE_MISMATCH, Reason.FILE_MISSING, Reason.LINK_BROKEN)
GAUGES: dict[str, tuple[str, Callable[[Cache], float | None]]] = {
    "complete": ("1 while a GPU may start.", lambda cache: float(cache.status.complete)),
    "stalled": ("1 while only a change by a person can help.", lambda cache: float(cache.status.is_true("Stalled"))),
    "size_bytes": ("Bytes that the models need.", lambda cache: cache.status.bytes_total),
    "present_bytes": ("Bytes of them on the volume.", lambda cache: cache.status.bytes_present),
    "verified_bytes": ("Bytes that the last sync read back and hashed.", lambda cache: cache.status.bytes_verified),
    "files": ("Files that the models need.", lambda cache: sum(each.files_total for each in cache.status.models)),
    "present_files": (
        "Files of them that are complete.",
        lambda cache: sum(each.files_present for each in cache.status.models),
    ),
    "rate_bytes_per_second": ("Rate of a running sync.", lambda cache: cache.status.bytes_per_second),
    "last_verified_timestamp_seconds": (
        "Unix time of the oldest verification among the models.",
        lambda cache: timestamps.parse(cache.status.verified_at),
    ),
    "consecutive_sync_failures": ("Sync Jobs that failed in a row.", lambda cache: cache.status.sync.failures),
    "early_pods": ("Pods ungated for the lead time that still wait.", lambda cache: cache.status.pods.early),
    "update_available": (
        "1 when the hub has newer commits.",
        lambda cache: _update(cache, lambda each: bool(each.commits)),
    ),
    "update_bytes": ("Bytes that a resync would fetch.", lambda cache: _update(cache, lambda each: each.bytes)),
    "scrub_period_seconds": (
        "How often the volume is read again.",
        lambda cache: float(cache.scrub.every_s) if cache.scrub else None,
    ),
    "unused_bytes": (
        "Bytes on the volume that nothing needs any more.",
        lambda cache: cache.status.prune.bytes_unused if cache.status.prune else None,
    ),
    "outdated_pods": ("Started pods with other commits than the volume.", lambda cache: cache.status.pods.outdated),
}


class CacheCollector(Collector):
    """Reads the mirror from the thread of the scrape; every look at it is one copy of a dictionary's values."""

    def __init__(self, mirror: Mirror, counters: Counters, api: Api, clock: Callable[[], float]) -> None:
        self._mirror = mirror
        self._counters = counters
        self._api = api
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering would collect once otherwise, and there is nothing yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        caches = [cache for cache in list(self._mirror.caches.values()) if cache.status.phase]
        yield _phases(caches)
        yield _reasons(caches)
        for name, (text, value) in GAUGES.items():
            yield _gauge(name, text, ((cache, value(cache)) for cache in caches))
        yield _copies(caches)
        yield self._damaged(caches)
        yield from self._waiting(caches)
        yield from self._counters.collect(Key(cache.namespace, cache.name) for cache in caches)
        yield CounterMetricFamily(
            "modelcache_operator_api_requests", "Calls to the API, watches aside.", value=self._api.calls
        )

    def _waiting(self, caches: list[Cache]) -> Iterator[Metric]:
        now = self._clock()
        held = [(cache, waiting_pods(self._pods(cache))) for cache in caches]
        longest = [(cache, max(0.0, now - pods[0].created_at) if pods else 0.0) for cache, pods in held]
        yield _gauge(
            "gate_waiting_pods", "Pods that nothing but the gate holds.", ((cache, len(pods)) for cache, pods in held)
        )
        yield _gauge("gate_longest_wait_seconds", "How long the oldest of them waits.", longest)

    def _damaged(self, caches: list[Cache]) -> Metric:
        text = "1 for a pod that uses a volume on which damage was found."
        family = GaugeMetricFamily("modelcache_damaged_pod_info", text, labels=(*LABELS, "pod"))
        for cache in caches:
            why = cache.status.condition("Complete")
            if cache.status.phase is Phase.DEGRADED and why and why.reason in DAMAGE:
                for name in sorted(self._using(cache))[:MAX_DAMAGED]:
                    family.add_metric((cache.namespace, cache.name, name), 1.0)
        return family

    def _using(self, cache: Cache) -> Iterator[str]:
        """Pods of the user's: those of Jobs have nothing loaded."""
        own = {job.uid for job in list(self._mirror.jobs.get(Key(cache.namespace, cache.name), {}).values())}
        for pod in self._pods(cache):
            if pod.node and pod.uses_volumes and cache.volume.claim in pod.claims and pod.owner_uid not in own:
                yield pod.name

    def _pods(self, cache: Cache) -> list[Pod]:
        return list(self._mirror.pods.get(Key(cache.namespace, cache.name), {}).values())


def _update(cache: Cache, value: Callable[[UpdatesStatus], float]) -> float | None:
    """Once the hub was asked."""
    found = cache.status.updates
    return value(found) if found and found.checked_at else None


def _gauge(name: str, text: str, values: Iterable[tuple[Cache, float | None]]) -> Metric:
    family = GaugeMetricFamily(f"modelcache_{name}", text, labels=LABELS)
    for cache, value in values:
        if value is not None:
            family.add_metric((cache.namespace, cache.name), value)
    return family


def _phases(caches: Iterable[Cache]) -> Metric:
    family = GaugeMetricFamily("modelcache_phase", "1 for the present phase.", labels=(*LABELS, "phase"))
    for cache in caches:
        for phase in Phase:
            family.add_metric((cache.namespace, cache.name, phase), float(cache.status.phase is phase))
    return family


def _copies(caches: Iterable[Cache]) -> Metric:
    """By state, and not by node: there may be a thousand."""
    family = GaugeMetricFamily("modelcache_copies", "Copies on nodes, by state.", labels=(*LABELS, "state"))
    for cache in caches:
        if nodes := cache.status.nodes:
            waiting = nodes.total - nodes.complete - nodes.syncing - nodes.failed
            counts = {"complete": nodes.complete, "syncing": nodes.syncing, "failed": nodes.failed, "waiting": waiting}
            for state, count in counts.items():
                family.add_metric((cache.namespace, cache.name, state), count)
    return family


def _reasons(caches: Iterable[Cache]) -> Metric:
    family = GaugeMetricFamily("modelcache_reason", "1 for why no GPU may start.", labels=(*LABELS, "reason"))
    for cache in caches:
        found = cache.status.condition("Complete")
        if found and found.status != "True" and found.reason:
            family.add_metric((cache.namespace, cache.name, found.reason), 1.0)
    return family


def add_own_gauge(registry: CollectorRegistry, name: str, text: str, value: Callable[[], float]) -> None:
    """A figure of the operator itself, computed at scrape time."""
    Gauge(f"modelcache_operator_{name}", text, registry=registry).set_function(value)


def serve(registry: CollectorRegistry, port: int) -> int:
    """In a thread of its own: a scrape of thousands of caches must not hold up the gate. Returns the port.

    It answers until the process is gone. Stopping it would take up to half a second, in which the event loop stands.
    """
    try:
        server, _ = start_http_server(port, any_address(), registry)
    except OSError as error:
        raise WrongSettings([f"--metrics-port: {CannotListen(ANY_HOST, port, error)}"]) from error
    return int(server.server_port)
