"""When videos will be finished: a forecast from the pace of the last one that this process made. Pure.

A device does about the same amount of work in each second. The work of a video is its steps in all windows, each as
long as a step of that size takes; the pace is the seconds that one unit of it took. Without a finished video there is
no pace, and the forecast of a waiting video is unknown; one that is being made is judged by its own progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.generation import Resolution, VideoPlan
from inference.server.jobs import Job, Status

STEP_COST: dict[Resolution, float] = {"multitalk-480": 1.0, "multitalk-720": 3.5}
"""How much longer a step takes; measured, see docs/benchmarks.md."""
TELLING_PERCENT = 3
"""From here on the progress of a video says more than the pace of another one: loading and encoding are over."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a video stands: how many come before it, and the seconds until it is finished, if that can be told."""

    before: int
    seconds_left: float | None


def work(plan: VideoPlan, resolution: Resolution, steps: int) -> float:
    return plan.windows * steps * STEP_COST[resolution]


def work_of(job: Job) -> float:
    generation = job.request.generation
    return work(job.request.plan, generation.resolution, generation.sampling.steps)


def pace_of(job: Job) -> float | None:
    """Seconds for a unit of work, from a video that is completed; None from any other."""
    if job.status is not Status.COMPLETED or job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at) / work_of(job)


def forecast(new: Job | float, ahead: Sequence[Job], pace: float | None, now: float) -> Forecast:
    """Of a job, or of one with so much work that is not submitted yet, behind those `ahead`."""
    own = _seconds_left(new, pace, now) if isinstance(new, Job) else _made_in(new, pace)
    lengths = [own, *(_seconds_left(job, pace, now) for job in ahead)]
    known = [length for length in lengths if length is not None]
    return Forecast(len(ahead), sum(known) if len(known) == len(lengths) else None)


def _made_in(amount: float, pace: float | None) -> float | None:
    return None if pace is None else pace * amount


def _seconds_left(job: Job, pace: float | None, now: float) -> float | None:
    if job.finished:  # cancelled, and the engine has not returned yet: it does so within a step
        return 0.0
    elapsed = now - job.started_at if job.started_at is not None else 0.0
    whole = _made_in(work_of(job), pace)
    if job.progress >= TELLING_PERCENT or (whole is None and job.progress):
        whole = elapsed * 100 / job.progress
    return None if whole is None else max(0.0, whole - elapsed)
