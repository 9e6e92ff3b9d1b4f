"""The progress in the status: which report it comes from, and one entry for every model of the spec.

The newest report counts: the progress of the Job's sync while it runs, else that of another one, or the last report of
a sync that ended. A report that was cut to
fit a termination message may lack models or their details; those keep what was known of them for this claim and
content. None of them contradicts the phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport
from modelcache_operator.core import timestamps
from modelcache_operator.core.observed import Cache, Snapshot
from modelcache_operator.core.observed_pods import Observation, RunState
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.proof import continues
from modelcache_operator.core.status import Phase, Status


@dataclass(frozen=True, slots=True)
class TimedReport:
    """A report and when it was made."""

    at: float
    observation: Observation
    live: bool
    """From a sync that still runs."""
    of_job: bool = False
    """From the Job's. Pods that start early wait for it, and repeat what they found when they started."""


def with_progress(status: Status, snapshot: Snapshot, objects: OwnedObjects, bound: bool) -> Status:
    """``status`` with the newest figures; ``bound``: there is a volume that they can be about."""
    status = _agree(_scrubbed(_newest(status, snapshot, objects), snapshot, objects), bound)
    verified = [model.verified_at for model in status.models]
    oldest = min((each for each in verified if each), default="")
    return replace(status, verified_at=oldest if all(verified) else "")


def _newest(status: Status, snapshot: Snapshot, objects: OwnedObjects) -> Status:
    cache = snapshot.cache
    fresh = continues(cache.status.sync, status.sync)
    known = {model.name: model for model in cache.status.models} if fresh else {}
    newest = max(_reports(snapshot, objects), key=lambda each: (each.live and each.of_job, each.at), default=None)
    since = timestamps.parse(cache.status.reported_at) or 0.0
    if newest is None or (fresh and newest.at < since and not newest.live):
        base = cache.status if fresh else status
        kept = tuple(known.get(name) or _unknown(name) for name in cache.models)
        return replace(_with_bytes(status, base), models=kept, reported_at=base.reported_at)
    said = {model.name: model for model in newest.observation.models}
    models = tuple(_merge(name, said.get(name), known.get(name), newest.observation) for name in cache.models)
    return replace(
        _with_bytes(status, newest.observation),
        models=models,
        reported_at=timestamps.stamp(newest.at),
        bytes_per_second=newest.observation.bytes_per_second if newest.live else 0,
        eta_seconds=newest.observation.eta_seconds if newest.live else None,
    )


def _scrubbed(status: Status, snapshot: Snapshot, objects: OwnedObjects) -> Status:
    """With the times at which a scrub read files again: these only move on while the commit stays."""
    digest, known = snapshot.cache.digest, list(snapshot.cache.status.models)
    runs = [run for pod in objects.scrub_pods for run in pod.runs if run.exit_code == 0]
    said = [run.observation for run in runs if run.observation and run.observation.manifest == digest]
    later = {(each.name, each.commit): each.verified_at or "" for each in known}
    for model in (model for report in said for model in report.models if model.complete):
        key = (model.name, model.commit)
        later[key] = max(later.get(key, ""), model.verified_at or "")
    moved = (replace(model, verified_at=_later(model, later)) for model in status.models)
    return replace(status, models=tuple(moved))


def _later(model: ModelReport, known: Mapping[tuple[str, str | None], str]) -> str | None:
    if not (model.complete and model.verified_at):
        return model.verified_at
    return max(model.verified_at, known.get((model.name, model.commit), ""))


def _reports(snapshot: Snapshot, objects: OwnedObjects) -> Iterator[TimedReport]:
    """Those that are about this content, as far as they tell."""
    cache = snapshot.cache
    trusted = objects.job_pods if cache.job.enabled else ()
    for pod in (*objects.job_pods, *objects.workloads):
        progress = snapshot.progress.get(pod.uid) if pod.state is RunState.RUNNING else None
        if progress and _about(progress.observation, cache, pod in trusted):
            yield TimedReport(progress.at, progress.observation, live=True, of_job=pod in objects.job_pods)
        for run in pod.runs:
            if run.observation and _about(run.observation, cache, pod in trusted):
                yield TimedReport(run.finished_at, run.observation, live=False)


def _about(observation: Observation, cache: Cache, trusted: bool) -> bool:
    if observation.manifest:
        return observation.manifest == cache.digest
    return trusted or not cache.job.enabled


def _with_bytes(status: Status, source: Observation | Status) -> Status:
    return replace(
        status,
        bytes_total=source.bytes_total,
        bytes_present=source.bytes_present,
        bytes_fetched=source.bytes_fetched,
        bytes_verified=source.bytes_verified,
    )


def _unknown(name: str) -> ModelReport:
    return ModelReport(name=name, complete=False, revision="")


def _merge(name: str, said: ModelReport | None, known: ModelReport | None, whole: Observation) -> ModelReport:
    before = known or _unknown(name)
    if said is None:  # cut off: complete models go first, so a report without it says that it is, or nothing
        return replace(before, complete=True, digest=None, reason=None, message="") if whole.complete else before
    if said.complete and not said.files_total:
        return replace(
            before,
            complete=True,
            reason=None,
            message="",
            commit=said.commit or before.commit,
            verified_at=said.verified_at or before.verified_at,
            digest=said.digest,  # the one before may be that of an older commit
        )
    return said


def _agree(status: Status, bound: bool) -> Status:
    """The phase is decided by more than the newest report, which may have been lost, or be about what is gone."""
    if status.phase is Phase.READY:
        return replace(status, models=tuple(map(_present, status.models)), bytes_present=status.bytes_total)
    if not bound:
        return replace(status, models=tuple(map(_absent, status.models)), bytes_present=0)
    if status.phase is not Phase.SYNCING and all(model.complete for model in status.models):
        return replace(status, models=tuple(map(_unverified, status.models)))
    return status


def _present(model: ModelReport) -> ModelReport:
    files, size = model.files_total, model.bytes_total
    return replace(model, complete=True, files_present=files, bytes_present=size, reason=None, message="")


def _absent(model: ModelReport) -> ModelReport:
    gone = replace(model, complete=False, files_present=0, bytes_present=0, verified_at=None, digest=None)
    return replace(gone, reason=None, message="")


def _unverified(model: ModelReport) -> ModelReport:
    return replace(model, complete=False, digest=None, reason=Reason.NOT_VERIFIED)
