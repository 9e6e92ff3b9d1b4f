"""Jobs of the user's that Kueue admits once their cache is complete.

A Job with the cache's label and the annotation ``kueue.x-k8s.io/admission-gated-by`` is not considered for admission,
and takes no quota, until each name in the annotation was removed by the one that put it there. Ours is that of the
gate. Kueue refuses names that are added or changed later, so ours is taken out of the list as it is, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelcache_operator.core.gate import pointer
from modelcache_operator.core.names import GATE, KUEUE_ANNOTATION
from modelcache_operator.core.observed import Job


def queued_jobs(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Those that wait for the cache."""
    return tuple(job for job in jobs if not job.deleting and GATE in _gates(job))


def admission_patch(job: Job) -> list[dict[str, object]]:
    """JSON patch that removes our name, and the annotation if it is the last, if the list is still what it was."""
    path = f"/metadata/annotations/{pointer(KUEUE_ANNOTATION)}"
    left = ",".join(gate for gate in _gates(job) if gate != GATE)
    change: dict[str, object] = (
        {"op": "replace", "path": path, "value": left} if left else {"op": "remove", "path": path}
    )
    return [
        {"op": "test", "path": "/metadata/uid", "value": job.uid},
        {"op": "test", "path": path, "value": job.admission_gates},
        change,
    ]


def _gates(job: Job) -> list[str]:
    return [gate.strip() for gate in job.admission_gates.split(",") if gate.strip()]
