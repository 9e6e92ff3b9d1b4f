"""What pods of the user's say against the volume that was proven.

Any pod can say anything. That the volume is damaged, or another one than was proven, is believed: a sync Job will tell.
So it is with the pods of a scrub that ended, whose exit code is 1 for damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from init_sync.core.reasons import Reason
from modelcache_operator.core.observed import Snapshot
from modelcache_operator.core.observed_pods import Observation, Run, RunState
from modelcache_operator.core.owned_objects import OwnedObjects, names_no_other

DAMAGED = 1
"""Exit code of a scrub that found damage."""


@dataclass(frozen=True, slots=True)
class DamageReport:
    """A pod of the user's that found the volume incomplete, or another volume than the one that was proven."""

    at: float
    pod: str
    report: Observation
    other_volume: bool


def _names_other_volume(report: Observation, volume_id: str) -> bool:
    """Images of version 0.1.0 name none, nor does a volume that was never written to: that says nothing."""
    return bool(volume_id and report.volume_id) and not report.volume_id.startswith(volume_id)


def damage_reports(snapshot: Snapshot, objects: OwnedObjects, volume_id: str) -> Iterator[DamageReport]:
    """What pods of the user's say against the volume that was proven."""
    digest = snapshot.cache.digest
    for pod in (*objects.workloads, *objects.scrub_pods):
        for run in pod.runs:
            report = run.observation
            if report and (other := _names_other_volume(report, volume_id)):
                yield DamageReport(run.finished_at, pod.name, report, other)
            elif report and names_no_other(run, digest) and names_damage(run, report, pod.task != ""):
                yield DamageReport(run.finished_at, pod.name, report, other_volume=False)
        live = snapshot.progress.get(pod.uid) if pod.state is RunState.RUNNING else None
        if live and _names_other_volume(live.observation, volume_id):
            yield DamageReport(live.at, pod.name, live.observation, other_volume=True)


def names_damage(run: Run, report: Observation, of_scrub: bool) -> bool:
    passing = (None, Reason.WAITING_FOR_LOCK, *((Reason.INTERRUPTED, Reason.INTERNAL_ERROR) if of_scrub else ()))
    ended = run.exit_code == DAMAGED if of_scrub else run.exit_code != 0
    return ended and any(model.reason not in passing for model in report.incomplete())
