"""Conditions: three questions a person or ``kubectl wait`` may ask, each with a reason to act on.

Complete     may a GPU start? True only while the phase is Ready
Syncing      does a sync container run now?
VolumeReady  is there a volume to sync to?
"""

from __future__ import annotations

from modelcache_operator.core import moments
from modelcache_operator.core.evidence import running_pods
from modelcache_operator.core.status import Condition, Phase, Status
from modelcache_operator.core.verdict import Situation, Verdict


def conditions(situation: Situation, verdict: Verdict, now: float) -> tuple[Condition, ...]:
    """The new conditions; one whose status is what it was keeps the moment of its last change."""
    cache = situation.snapshot.cache
    running = running_pods(situation.parties, cache.job.enabled)
    complete = verdict.phase is Phase.READY
    said = [
        ("Complete", complete, verdict.reason, verdict.message),
        ("Syncing", bool(running), *_syncing(situation, bool(running))),
        ("VolumeReady", situation.volume.bound, situation.volume.reason, situation.volume.message),
    ]
    return tuple(
        Condition(kind, str(true), reason, message, cache.generation, _since(cache.status, kind, str(true), now))
        for kind, true, reason, message in said
    )


def _syncing(situation: Situation, running: bool) -> tuple[str, str]:
    if running:
        pods = running_pods(situation.parties, situation.snapshot.cache.job.enabled)
        return "SyncRunning", f"pod {pods[0].name} syncs"
    if situation.record.next_attempt_at:
        return "WaitingToRetry", f"the next sync starts at {situation.record.next_attempt_at}"
    return "NoSyncRunning", "no sync container runs"


def _since(status: Status, kind: str, value: str, now: float) -> str:
    before = status.condition(kind)
    return before.since if before and before.status == value and before.since else moments.stamp(now)
