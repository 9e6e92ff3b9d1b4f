"""Sums that only grow, made from the ends of sync containers: each run is counted once, whoever restarts when.

``counted`` holds the keys of the runs that are in the sums and whose pods still exist; it shrinks as pods go. Of more
than ``MAX_COUNTED`` such runs the surplus stays uncounted, which a cache with that many pods can live with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from init_sync.core.reasons import Reason
from modelcache_operator.core.facts import Observation, PodFacts, Run
from modelcache_operator.core.status import Totals

MAX_COUNTED = 1000
BUCKETS_S = (1, 5, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800)
"""Upper ends; a warm start takes less than a second, 90 GB over a slow line take hours."""
BEYOND = "+Inf"
HUB_REASONS = (
    *(Reason.HUB_UNREACHABLE, Reason.RATE_LIMITED, Reason.TOKEN_INVALID, Reason.GATED_REPO),
    *(Reason.REPO_NOT_FOUND, Reason.REVISION_NOT_FOUND, Reason.FILE_NOT_FOUND, Reason.STALLED),
)


def count_runs(totals: Totals, pods: Iterable[PodFacts]) -> Totals:
    runs = [run for pod in pods for run in pod.runs]
    visible = {run.key for run in runs}
    kept = [key for key in totals.counted if key in visible]
    known = set(kept)
    for run in sorted(runs, key=lambda each: each.finished_at):
        if run.key not in known and len(kept) < MAX_COUNTED:
            totals = _add(totals, run)
            kept.append(run.key)
    return totals if tuple(kept) == totals.counted else replace(totals, counted=tuple(kept))


def _add(totals: Totals, run: Run) -> Totals:
    took = max(0.0, run.finished_at - run.started_at)
    durations = dict(totals.durations)
    bucket = bucket_of(took)
    durations[bucket] = durations.get(bucket, 0) + 1
    fetched, from_cache = _bytes(run.observation) if run.observation else (0, 0)
    return replace(
        totals,
        syncs=totals.syncs + 1,
        failed_syncs=totals.failed_syncs + (run.exit_code != 0),
        sync_s=totals.sync_s + took,
        bytes_fetched=totals.bytes_fetched + fetched,
        bytes_from_cache=totals.bytes_from_cache + from_cache,
        hub_errors=_hub_errors(totals.hub_errors, run.observation),
        durations=durations,
    )


def bucket_of(seconds: float) -> str:
    return next((str(end) for end in BUCKETS_S if seconds <= end), BEYOND)


def _bytes(observation: Observation) -> tuple[int, int]:
    """Fetched from the hub, and served from the volume: what a complete cache holds less what this run fetched."""
    fetched = observation.bytes_fetched
    return fetched, max(0, observation.bytes_total - fetched) if observation.complete else 0


def _hub_errors(before: Mapping[str, int], observation: Observation | None) -> dict[str, int]:
    errors = dict(before)
    for reason in _reasons(observation):
        errors[reason] = errors.get(reason, 0) + 1
    return errors


def _reasons(observation: Observation | None) -> Iterator[str]:
    for model in observation.incomplete() if observation else ():
        if model.reason in HUB_REASONS:
            yield str(model.reason)
