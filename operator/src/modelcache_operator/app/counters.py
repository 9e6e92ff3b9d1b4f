"""What this process has counted. Series begin at 0 with each start, as in every controller: use ``increase``.

A run of a sync container counts when its end is seen, a gate when it was removed. What happens while no operator runs
is not counted. The series of a cache go with the cache. They are kept as one small record for each cache: as metrics of
the client library they would take 8 KiB each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import prometheus_client
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily

from init_sync.core.reasons import Reason
from modelcache_operator.core.damage import names_damage
from modelcache_operator.core.gate import Cause, is_held_by_us_alone
from modelcache_operator.core.observed_pods import Pod, Run
from modelcache_operator.kube.key import Key

BUCKETS_S = (1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)
"""Upper ends; a warm start takes less than a second, 90 GB over a slow line take hours."""
BOUNDS = (*map(str, BUCKETS_S), "+Inf")
HUB_REASONS = (
    *(Reason.HUB_UNREACHABLE, Reason.RATE_LIMITED, Reason.TOKEN_INVALID, Reason.GATED_REPO),
    *(Reason.REPO_NOT_FOUND, Reason.REVISION_NOT_FOUND, Reason.FILE_NOT_FOUND, Reason.STALLED),
)
LABELS = ("namespace", "cache")
SCRUB_RESULTS = ("intact", "damaged", "failed")


@dataclass(slots=True)
class CacheCounts:
    """Of one ModelCache."""

    failed: int = 0
    by_duration: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))
    """Runs in each bucket."""
    seconds: float = 0.0
    fetched: int = 0
    served: int = 0
    hub_errors: Counter[Reason] = field(default_factory=Counter)
    pruned: int = 0
    scrubs: Counter[str] = field(default_factory=Counter)
    removed: Counter[Cause] = field(default_factory=Counter)
    gates: int = 0
    """Removed from pods that nothing else held."""
    waited_s: float = 0.0
    gpu_s: float = 0.0


NOTHING = CacheCounts()


class Counters:
    """Those of the operator itself are registered; ``collect`` makes those of caches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.reconciles = _own("reconciles", "Looks at a cache.", registry)
        self.errors = _own("errors", "Looks that ended in an error.", registry)
        self.status_writes = _own("status_writes", "Statuses written.", registry)
        self._gates_removed = _own("gates_opened", "Gates removed from pods.", registry)
        self._counts: dict[Key, CacheCounts] = {}

    def count_run(self, key: Key, run: Run, task: str = "") -> None:
        """The run of a sync container that has ended, or of that of a task."""
        counts = self._counts.setdefault(key, CacheCounts())
        if task:
            counts.pruned += run.task.bytes_freed if run.task else 0
            counts.scrubs[_scrub_result(run)] += task == "scrub"
            return
        took = max(0.0, run.finished_at - run.started_at)
        counts.failed += run.exit_code != 0
        counts.by_duration[bisect_left(BUCKETS_S, took)] += 1
        counts.seconds += took
        if report := run.observation:
            counts.fetched += report.bytes_fetched
            counts.served += max(0, report.bytes_total - report.bytes_fetched) if report.complete else 0
            counts.hub_errors.update(each.reason for each in report.incomplete() if each.reason in HUB_REASONS)

    def count_gate(self, key: Key, pod: Pod, cause: Cause, waited_s: float) -> None:
        """A gate that was removed. Behind the gates of others the pod waits on, and waited for them all along."""
        self._gates_removed.inc()
        counts = self._counts.setdefault(key, CacheCounts())
        counts.removed[cause] += 1
        if not is_held_by_us_alone(pod):
            return
        counts.gates += 1
        counts.waited_s += waited_s
        counts.gpu_s += waited_s * pod.gpus

    def remove_cache(self, key: Key) -> None:
        self._counts.pop(key, None)

    def collect(self, caches: Iterable[Key]) -> Iterator[Metric]:
        """A series for each of ``caches``, though nothing was counted: the first increase must be seen."""
        syncs = _family("syncs", "Runs of sync containers that ended.", "outcome")
        fetched = _family("fetched_bytes", "Bytes that syncs received from the hub.")
        served = _family("served_bytes", "Bytes that syncs found on the volume.")
        errors = _family("hub_errors", "Syncs that failed for a reason of the hub's.", "reason")
        removed = _family("gates_removed", "Gates removed from pods.", "cause")
        gpus = _family("gate_gpu_seconds", "Seconds at the gate, times the GPUs that a pod requests.")
        pruned = _family("pruned_bytes", "Bytes of files that nothing needed any more, and that were removed.")
        scrubs = _family("scrubs", "Scrubs that ended, of a volume or of one node's copy.", "result")
        durations = HistogramMetricFamily("modelcache_sync_duration_seconds", "How long syncs took.", labels=LABELS)
        waits = SummaryMetricFamily("modelcache_gate_wait_seconds", "Seconds that pods waited.", labels=LABELS)
        for key in caches:
            counts = self._counts.get(key, NOTHING)
            cumulative = list(accumulate(counts.by_duration))
            syncs.add_metric((*key, "succeeded"), cumulative[-1] - counts.failed)
            syncs.add_metric((*key, "failed"), counts.failed)
            fetched.add_metric(key, counts.fetched)
            served.add_metric(key, counts.served)
            for reason, count in list(counts.hub_errors.items()):
                errors.add_metric((*key, reason), count)
            pruned.add_metric(key, counts.pruned)
            for result in SCRUB_RESULTS:
                scrubs.add_metric((*key, result), counts.scrubs[result])
            durations.add_metric(key, list(zip(BOUNDS, cumulative, strict=True)), counts.seconds)
            for cause in Cause:
                removed.add_metric((*key, cause), counts.removed[cause])
            waits.add_metric(key, counts.gates, counts.waited_s)
            gpus.add_metric(key, counts.gpu_s)
        yield from (syncs, fetched, served, errors, durations, removed, waits, gpus, pruned, scrubs)


def _scrub_result(run: Run) -> str:
    if run.exit_code == 0:
        return "intact"
    return "damaged" if run.observation and names_damage(run, run.observation, of_scrub=True) else "failed"


def _family(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"modelcache_{name}", text, labels=(*LABELS, *labels))


def _own(name: str, text: str, registry: CollectorRegistry) -> prometheus_client.Counter:
    return prometheus_client.Counter(f"modelcache_operator_{name}", text, registry=registry)
