"""What this process has counted. Series begin at 0 with each start, as in every controller: use ``increase``.

A run of a sync container counts when its end is seen, a gate when it was removed. What happens while no operator runs
is not counted. The series of a cache go with the cache.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary, disable_created_metrics

from init_sync.core.reasons import Reason
from modelcache_operator.core.observed import Observation, Pod, Run
from modelcache_operator.kube.key import Key

BUCKETS_S = (1, 5, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800)
"""Upper ends; a warm start takes less than a second, 90 GB over a slow line take hours."""
HUB_REASONS = (
    *(Reason.HUB_UNREACHABLE, Reason.RATE_LIMITED, Reason.TOKEN_INVALID, Reason.GATED_REPO),
    *(Reason.REPO_NOT_FOUND, Reason.REVISION_NOT_FOUND, Reason.FILE_NOT_FOUND, Reason.STALLED),
)
LABELS = ("namespace", "cache")


class Counters:
    """Registered in ``registry``; ``cache`` in the names of methods is a ModelCache."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]

        def of_caches(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"modelcache_{name}", text, (*LABELS, *labels), registry=registry)

        def own(name: str, text: str) -> Counter:
            return Counter(f"modelcache_operator_{name}", text, registry=registry)

        self.reconciles = own("reconciles", "Looks at a cache.")
        self.errors = own("errors", "Looks that ended in an error.")
        self.status_writes = own("status_writes", "Statuses written.")
        self.gates_removed = own("gates_opened", "Gates removed from pods.")
        self._syncs = of_caches("syncs", "Runs of sync containers that ended.", "outcome")
        self._fetched = of_caches("fetched_bytes", "Bytes that syncs received from the hub.")
        self._served = of_caches("served_bytes", "Bytes that syncs found on the volume.")
        self._hub_errors = of_caches("hub_errors", "Syncs that failed for a reason of the hub's.", "reason")
        self._durations = Histogram(
            "modelcache_sync_duration_seconds", "How long syncs took.", LABELS, buckets=BUCKETS_S, registry=registry
        )
        self._waits = Summary(
            "modelcache_gate_wait_seconds", "Seconds that pods waited at the gate.", LABELS, registry=registry
        )
        self._gpu_seconds = of_caches("gate_gpu_seconds", "Those seconds, times the GPUs that a pod requests.")

    def count_run(self, key: Key, run: Run) -> None:
        """The run of a sync container that has ended."""
        self._syncs.labels(*key, "failed" if run.exit_code else "succeeded").inc()
        self._durations.labels(*key).observe(max(0.0, run.finished_at - run.started_at))
        if run.observation is None:
            return
        fetched = run.observation.bytes_fetched
        self._fetched.labels(*key).inc(fetched)
        if run.observation.complete:
            self._served.labels(*key).inc(max(0, run.observation.bytes_total - fetched))
        for reason in _hub_reasons(run.observation):
            self._hub_errors.labels(*key, reason).inc()

    def count_gate(self, key: Key, pod: Pod, waited_s: float) -> None:
        """A gate that was removed."""
        self.gates_removed.inc()
        self._waits.labels(*key).observe(waited_s)
        self._gpu_seconds.labels(*key).inc(waited_s * pod.gpus)

    def add_cache(self, key: Key) -> None:
        """Begin its series at 0, so that the first increase is seen."""
        for outcome in ("succeeded", "failed"):
            self._syncs.labels(*key, outcome)
        for each in (self._fetched, self._served, self._durations, self._waits, self._gpu_seconds):
            each.labels(*key)

    def remove_cache(self, key: Key) -> None:
        labels = dict(zip(LABELS, key, strict=True))
        for each in (self._syncs, self._hub_errors, self._fetched, self._served):
            each.remove_by_labels(labels)
        for other in (self._durations, self._waits, self._gpu_seconds):
            other.remove_by_labels(labels)


def _hub_reasons(observation: Observation) -> list[Reason]:
    return [model.reason for model in observation.incomplete() if model.reason in HUB_REASONS]
