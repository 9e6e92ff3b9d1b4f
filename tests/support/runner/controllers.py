"""The controllers of Jobs and Deployments, as far as pods are concerned: pure decisions.

A Job gets one pod at a time until one succeeds; not known are parallelism, deadlines, suspension, time to live and
disruptions. A Deployment gets as many pods as it shall have, of the template that it has when they are made: there are
no rollouts, and its status stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = dict[str, Any]
LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to do about a Job that is not finished."""

    create: bool = False
    outcome: str = ""
    """Complete or Failed."""
    reason: str = ""
    message: str = ""


def missing_pods(deployment: Json, pods: Sequence[Json]) -> int:
    """``pods``: its own."""
    alive = [pod for pod in pods if not (has_ended(pod) or pod["metadata"].get("deletionTimestamp"))]
    return max(0, int(deployment["spec"].get("replicas", 1)) - len(alive))


def is_finished(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)


def plan_job(job: Json, pods: Sequence[Json], now_s: float, pause_s: float) -> JobPlan:
    """``pods``: its own, oldest first; ``pause_s``: after the first failure, doubled after each more."""
    failed = [pod for pod in pods if _phase(pod) == "Failed"]
    if any(_phase(pod) == "Succeeded" for pod in pods):
        return JobPlan(outcome="Complete", reason="CompletionsReached", message="Reached expected number of pods")
    if failed and (message := _refused(job, failed[-1])):
        return JobPlan(outcome="Failed", reason="PodFailurePolicy", message=message)
    if len(failed) > job["spec"].get("backoffLimit", 6):
        reason = "BackoffLimitExceeded"
        return JobPlan(outcome="Failed", reason=reason, message="Job has reached the specified backoff limit")
    active = len(failed) < len(pods)
    return JobPlan(create=not active and _next_at(failed, pause_s) <= now_s)


def has_ended(pod: Json) -> bool:
    return _phase(pod) in ("Succeeded", "Failed")


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def _next_at(failed: Sequence[Json], pause_s: float) -> float:
    if not failed:
        return 0.0
    stamps = [each["finishedAt"] for _, each in _ends(failed[-1])]
    ended = max((datetime.fromisoformat(stamp).timestamp() for stamp in stamps), default=0.0)
    return ended + min(pause_s * 2.0 ** (len(failed) - 1), LONGEST_PAUSE_S)


def _refused(job: Json, pod: Json) -> str:
    """By a rule of ``podFailurePolicy`` that fails the Job on an exit code."""
    for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules", ()):
        codes: Json = rule.get("onExitCodes") or {"values": ()}
        for name, end in _ends(pod) if rule["action"] == "FailJob" else ():
            if end["exitCode"] in codes["values"] and codes.get("containerName") in (None, name):
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                failed = f"Container {name} for pod {where} failed with exit code {end['exitCode']}"
                return f"{failed} matching FailJob rule at index 0"
    return ""


def _ends(pod: Json) -> list[tuple[str, Json]]:
    """The name of each container that has ended, and how."""
    status = pod.get("status") or {}
    everything = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return [(each["name"], each["state"]["terminated"]) for each in everything if "terminated" in each["state"]]
