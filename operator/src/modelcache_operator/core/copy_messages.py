"""Why the copy on a node is not complete, in words."""

from __future__ import annotations

from collections.abc import Collection

from modelcache_operator.core import messages
from modelcache_operator.core.copies import NO_MESSAGE
from modelcache_operator.core.messages import Message
from modelcache_operator.core.nodes import Node
from modelcache_operator.core.observed import Cache, Job
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.status import CopyStatus

UNAVAILABLE = "NodeUnavailable"
PASSING = (UNAVAILABLE, "PodStarting", "JobWithoutPod", "JobSuspended", "Refused", "NameTaken", *messages.OF_NOW)
"""Reasons that are not said any more once they are over."""


def unavailable(node: Node) -> Message:
    why = "is not ready" if not node.ready else "is cordoned" if not node.schedulable else "is tainted"
    return Message(UNAVAILABLE, f"node {node.name} {why}")


def not_started(job: Job, pods: Collection[Pod]) -> Message:
    """What the objects say; the rest is in Events alone."""
    if job.suspended:
        return messages.suspended(job)
    if not pods:
        return messages.no_pod(job)
    if not any(pod.node for pod in pods):
        return Message("PodStarting", "its pod gets no node: is there a scheduler, or another gate? See its Events")
    return Message("PodStarting", "its pod does not start: is the volume's directory missing there? See its Events")


def failed(job: Job, pods: Collection[Pod], cache: Cache) -> Message:
    """What the last run of a Job that failed said, else the Job."""
    runs = [(run, pod) for pod in pods for run in pod.runs if run.exit_code]
    if runs:
        return messages.run_failure(*max(runs, key=lambda each: each[0].finished_at), cache)
    reason = job.outcome_reason or "SyncFailed"
    return Message(reason, f"Job {job.name} failed: {job.outcome_message or reason}")


def remembered(stored: CopyStatus | None) -> Message:
    """What the status said before, unless that is over."""
    return Message(stored.reason, stored.message) if stored and stored.reason not in PASSING else NO_MESSAGE
