"""The Job controller: one pod at a time until one succeeds. A pure plan, and its execution.

Not known: parallelism, completions other than one, indexes, suspension, time to live, disruptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from support.runner.statuses import finished_job, pod_from_template
from support.runner.view import View, key_of

Json = dict[str, Any]
LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to do about a Job that is not finished."""

    create: bool = False
    outcome: str = ""
    """Complete or Failed."""
    reason: str = ""
    message: str = ""
    again_in_s: float | None = None
    """When to look once more though nothing changes."""


def finished(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)


def plan_job(job: Json, pods: Sequence[Json], now_s: float, pause_s: float) -> JobPlan:
    """``pods``: its own, oldest first; ``pause_s``: after the first failure, doubled after each more."""
    phases = [pod.get("status", {}).get("phase") for pod in pods]
    failed = [pod for pod, phase in zip(pods, phases, strict=True) if phase == "Failed"]
    if "Succeeded" in phases:
        return JobPlan(outcome="Complete", reason="CompletionsReached", message="Reached expected number of pods")
    deadline_s = job["spec"].get("activeDeadlineSeconds")
    age_s = now_s - _seconds(job["metadata"]["creationTimestamp"])
    if deadline_s is not None and age_s >= deadline_s:
        return JobPlan(
            outcome="Failed", reason="DeadlineExceeded", message="Job was active longer than specified deadline"
        )
    if failed and (message := _refused(job, failed[-1])):
        return JobPlan(outcome="Failed", reason="PodFailurePolicy", message=message)
    if len(failed) > job["spec"].get("backoffLimit", 6):
        reason = "BackoffLimitExceeded"
        return JobPlan(outcome="Failed", reason=reason, message="Job has reached the specified backoff limit")
    left_s = None if deadline_s is None else deadline_s - age_s
    if len(failed) < len(pods):
        return JobPlan(again_in_s=left_s)
    wait_s = _pause_left(failed, now_s, pause_s)
    if wait_s > 0:
        return JobPlan(again_in_s=wait_s if left_s is None else min(wait_s, left_s))
    return JobPlan(create=True)


def _pause_left(failed: Sequence[Json], now_s: float, pause_s: float) -> float:
    if not failed:
        return 0.0
    ended = max(
        (_seconds(each["state"]["terminated"]["finishedAt"]) for each in _containers(failed[-1]) if _code(each)),
        default=0.0,
    )
    return ended - now_s + min(pause_s * 2.0 ** (len(failed) - 1), LONGEST_S)


def _refused(job: Json, pod: Json) -> str:
    """By a rule of ``podFailurePolicy`` that says FailJob on an exit code."""
    for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules", ()):
        wanted = rule.get("onExitCodes")
        if rule["action"] != "FailJob" or not wanted:
            continue
        for each in _containers(pod):
            hit = (_code(each) in wanted["values"]) is (wanted["operator"] == "In")
            if _code(each) and hit and wanted.get("containerName") in (None, each["name"]):
                namespace, name = key_of(pod)
                return (
                    f"Container {each['name']} for pod {namespace}/{name} failed with exit code {_code(each)} "
                    "matching FailJob rule at index 0"
                )
    return ""


def _containers(pod: Json) -> list[Json]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _code(container: Json) -> int:
    return int(container["state"].get("terminated", {}).get("exitCode", 0))


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


async def control_job(view: View, job: Json, now_s: float, pause_s: float) -> float | None:
    """Returns after how many seconds to look again."""
    if finished(job) or job["metadata"].get("deletionTimestamp"):
        return None
    pods = view.owned_by(job)
    plan = plan_job(job, pods, now_s, pause_s)
    if plan.outcome:
        for pod in pods:
            if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                await view.delete("pods", pod)
        status = finished_job(job, plan.outcome, plan.reason, plan.message)
        await view.patch("jobs", job, {"status": status}, "status")
    elif plan.create:
        namespace, name = key_of(job)
        labels = {"batch.kubernetes.io/job-name": name, "job-name": name}
        await view.create("pods", pod_from_template(job, labels), namespace)
        status = {"startTime": job["metadata"]["creationTimestamp"], "active": 1, "failed": len(pods)}
        await view.patch("jobs", job, {"status": status}, "status")
    return plan.again_in_s
