"""The Jobs and pods of a cache, by what they are for its present claim and content.

A container beside the sync container, such as a service mesh's proxy, can keep a Job from finishing for ever. Then the
end of the sync container counts as the end of the Job, if its report names this manifest and its pod is the only one of
the Job that is left, by the Job controller's own count: a pod that merely names the Job is not in that count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from modelcache_operator.core.observed import Claim, Job, Snapshot
from modelcache_operator.core.observed_pods import Pod, Run, RunState


@dataclass(frozen=True, slots=True)
class OwnedObjects:
    """The Jobs and pods of a snapshot, by what they are for the present claim and content."""

    jobs: tuple[Job, ...]
    """For this claim and content, by attempt."""
    superseded: tuple[Job, ...]
    """Others of this object."""
    job_pods: tuple[Pod, ...]
    """Of the newest Job, by age."""
    workloads: tuple[Pod, ...]
    """The user's, that mount the claim."""
    unmounted: tuple[Pod, ...]
    """The user's, with the cache's label, that do not mount the claim: what they do says nothing about it."""
    tasks: tuple[Job, ...] = ()
    """Jobs of this object that are no syncs."""
    scrub_pods: tuple[Pod, ...] = ()
    """Of scrubs of this claim that ended."""

    @property
    def latest(self) -> Job | None:
        return self.jobs[-1] if self.jobs else None


def sort_objects(snapshot: Snapshot) -> OwnedObjects:
    cache = snapshot.cache
    ours = [job for job in snapshot.jobs if job.owner_uid == cache.uid and not job.task]
    running = {pod.owner_uid for pod in snapshot.pods if pod.state is RunState.RUNNING}
    jobs = sorted((job for job in ours if _is_current(job, snapshot, running)), key=lambda job: job.attempt)
    current = {job.uid for job in jobs}
    own, tasks = snapshot.own_job_uids, _tasks(snapshot)
    scrubs = {job.uid for job in tasks if job.task == "scrub" and job.outcome}
    newest = jobs[-1].uid if jobs else ""
    job_pods = sorted((pod for pod in snapshot.pods if pod.owner_uid == newest != ""), key=lambda pod: pod.created_at)
    if jobs:
        jobs[-1] = as_finished(jobs[-1], job_pods)
    alive = [pod for pod in snapshot.pods if not pod.deleting]
    users = [pod for pod in alive if pod.owner_uid not in own and not (pod.task and pod.owner_uid)]
    scrub_pods = [pod for pod in alive if pod.owner_uid in scrubs and cache.volume.claim in pod.claims]
    return OwnedObjects(
        jobs=tuple(jobs),
        superseded=tuple(job for job in ours if job.uid not in current),
        job_pods=tuple(job_pods),
        workloads=tuple(_on_claim(pod, snapshot.claim) for pod in users if cache.volume.claim in pod.claims),
        unmounted=tuple(pod for pod in users if cache.volume.claim not in pod.claims),
        tasks=tasks,
        scrub_pods=tuple(_on_claim(pod, snapshot.claim) for pod in scrub_pods),
    )


def _tasks(snapshot: Snapshot) -> tuple[Job, ...]:
    ours = [job for job in snapshot.jobs if job.task and job.attempt and job.owner_uid == snapshot.cache.uid]
    return tuple(as_finished(job, [pod for pod in snapshot.pods if pod.owner_uid == job.uid]) for job in ours)


def _is_current(job: Job, snapshot: Snapshot, running: Collection[str]) -> bool:
    """Whether a Job counts for the present claim and content.

    How Jobs run may have changed since it was made. That takes nothing from its proof, and a sync that runs goes on,
    but one that cannot start, or has failed, may do so for the very reason that the change removes.
    """
    if (job.claim_uid, job.manifest) != (snapshot.claim_uid, snapshot.cache.digest):
        return False
    if bool(job.node) != (snapshot.cache.volume.per_node is not None):
        return False
    if job.generation == snapshot.cache.generation or job.outcome == "Complete":
        return True
    return not job.outcome and job.uid in running


def as_finished(job: Job, pods: Iterable[Pod]) -> Job:
    """The Job, finished by the end of its sync container if other containers alone keep it from finishing."""
    left = [pod for pod in pods if pod.state is not RunState.FINISHED or pod.running_neighbours]
    if job.outcome or job.active != 1 or len(left) != 1 or left[0].state is not RunState.FINISHED or left[0].deleting:
        return job
    run = left[0].runs[-1]
    report = run.observation
    proves = job.task or (report and report.complete and report.manifest == job.manifest)
    if run.exit_code == 0 and not proves:
        return job
    outcome = "Failed" if run.exit_code else "Complete"
    return replace(job, outcome=outcome, finished_at=run.finished_at, kept_by=left[0].running_neighbours[0])


def _on_claim(pod: Pod, claim: Claim | None) -> Pod:
    """The pod, less what it did before the claim was created: it had mounted another one of the same name."""
    if claim is None or pod.created_at >= claim.created_at:
        return pod
    runs = tuple(run for run in pod.runs if run.started_at >= claim.created_at)
    earlier = pod.running_since is not None and pod.running_since < claim.created_at
    return replace(pod, runs=runs, state=RunState.FINISHED if earlier else pod.state)


def relevant_pods(objects: OwnedObjects, digest: str) -> tuple[Pod, ...]:
    """Pods of the user's, less the runs that name another manifest: they say nothing about this one."""
    return tuple(
        replace(pod, runs=tuple(run for run in pod.runs if names_no_other(run, digest))) for pod in objects.workloads
    )


def names_no_other(run: Run, digest: str) -> bool:
    return run.observation is None or run.observation.manifest in ("", digest)


def running_pods(objects: OwnedObjects, jobs_enabled: bool) -> tuple[Pod, ...]:
    """Pods whose sync container runs now and is about this content; none of a Job that is over, whatever names it."""
    if jobs_enabled and objects.latest and objects.latest.outcome:
        return ()
    pods = objects.job_pods if jobs_enabled else objects.workloads
    return tuple(pod for pod in pods if pod.state is RunState.RUNNING and not pod.deleting)
