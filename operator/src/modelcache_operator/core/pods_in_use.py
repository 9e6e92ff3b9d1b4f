"""Pods that wait for a cache or use it, and which commits those found that use it."""

from __future__ import annotations

from collections import Counter

from modelcache_operator.core.observed import Snapshot
from modelcache_operator.core.observed_pods import Pod, RunState
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.status import CommitPods, PodsStatus

MAX_COMMITS = 10


def pods_status(snapshot: Snapshot, objects: OwnedObjects, commit: str, waiting: int, early: int) -> PodsStatus:
    """``commit``: what is on the volume now, as in the summary; ``waiting``: pods whose gate is not being removed."""
    used = Counter(_commit(pod, snapshot.cache.models) for pod in objects.workloads if _has_started(pod))
    return PodsStatus(
        waiting=waiting,
        early=early,
        started=used.total(),
        outdated=sum(count for each, count in used.items() if each and commit and each != commit),
        commits=tuple(CommitPods(each, count) for each, count in used.most_common(MAX_COMMITS)),
    )


def used_nodes(objects: OwnedObjects) -> tuple[str, ...]:
    """Nodes on which pods of the cache use the claim."""
    return tuple(sorted({pod.node for pod in objects.workloads if pod.node and pod.uses_volumes}))


def pods_on_older_content(snapshot: Snapshot, objects: OwnedObjects, commit: str, proven_at: float) -> int:
    """Started pods that may use files of another content than the proven one: all that do not say that they use it."""

    def is_older(pod: Pod) -> bool:
        report = pod.runs[-1].observation if pod.runs else None
        same = report is not None and report.manifest == snapshot.cache.digest
        return pod.created_at < proven_at and not (same and commit and _commit(pod, snapshot.cache.models) == commit)

    return sum(is_older(pod) for pod in objects.workloads if pod.uses_volumes and _has_started(pod))


def _has_started(pod: Pod) -> bool:
    if pod.state is RunState.ABSENT:
        return bool(pod.commit) and bool(pod.node)
    return pod.state is RunState.FINISHED and bool(pod.runs) and pod.runs[-1].exit_code == 0


def _commit(pod: Pod, models: tuple[str, ...]) -> str:
    """What its sync container found; where that was cut from the report, what the gate's removal noted."""
    report = pod.runs[-1].observation if pod.runs else None
    found = {model.name: model.commit for model in report.models if model.commit} if report else {}
    if all(name in found for name in models):
        return ",".join(found[name] for name in models)
    return pod.commit
