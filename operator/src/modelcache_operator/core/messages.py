"""Reasons and sentences for what keeps a sync from running or ended it: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport
from modelcache_operator.core import timestamps
from modelcache_operator.core.observed import Cache, Job
from modelcache_operator.core.observed_pods import Observation, Pod, Run, RunState

IMAGE_PROBLEMS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CONFIG_PROBLEMS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")

OF_NOW = ("PodTerminating", "Unschedulable", "ImagePullFailed", "ContainerConfigError")
"""Reasons that end without a word once the pod starts."""
WITHOUT_JOBS = "sync Jobs are disabled (spec.sync.job.enabled: false)"


@dataclass(frozen=True, slots=True)
class Message:
    """Why, in one word and in a sentence."""

    reason: str
    text: str
    stalled: bool = False
    """Only a person can cure it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event to post about the cache."""

    type: str
    reason: str
    message: str


def trouble(pod: Pod) -> Message | None:
    """What keeps a pod from running its sync container; None when nothing does."""
    if pod.deleting_since is not None:
        node = f" on node {pod.node}" if pod.node else ""
        return Message(
            "PodTerminating",
            f"pod {pod.name} is being deleted{node} and should end by {timestamps.stamp(pod.deleting_since)}; another "
            f"starts once it has ended. If its node is lost, delete that, or: kubectl delete pod {pod.name} --force",
        )
    if pod.unschedulable:
        return Message("Unschedulable", unschedulable(pod))
    if pod.state is not RunState.WAITING:
        return None
    said = f" ({pod.waiting_message})" if pod.waiting_message else ""
    if pod.waiting_reason in IMAGE_PROBLEMS:
        return Message(
            "ImagePullFailed",
            f"pod {pod.name} cannot pull its sync image: {pod.waiting_reason}{said}. Check spec.sync.job.image and "
            "imagePullSecrets",
        )
    if pod.waiting_reason in CONFIG_PROBLEMS:
        return Message(
            "ContainerConfigError",
            f"pod {pod.name} cannot start its sync container: {pod.waiting_reason}{said}. Check that the Secret in "
            "spec.auth and what env refers to (spec.sync.job, or the operator's defaults) exist",
        )
    return None


def unschedulable(pod: Pod) -> str:
    return (
        f"pod {pod.name} cannot be scheduled: {pod.unschedulable.rstrip('.')}. Check spec.sync.job.nodeSelector, "
        "tolerations and resources, and the zone of the volume"
    )


def suspended(job: Job) -> Message:
    return Message(
        "JobSuspended",
        f"Job {job.name} is suspended. It starts when the queue that suspended it (Kueue, for example) admits it, or "
        "when its spec.suspend is set to false",
    )


def no_pod(job: Job) -> Message:
    return Message(
        "JobWithoutPod",
        f"Job {job.name} was created at {timestamps.stamp(job.created_at)} and has no pod. Usual causes are a quota, a "
        f"LimitRange, Pod Security or an admission policy: see kubectl describe job {job.name}",
    )


def no_pod_yet(job: str) -> str:
    return f"Job {job} has no pod yet; if that lasts, see kubectl describe job {job}"


def starting(pod: Pod, cache: Cache) -> str:
    """What a pod without trouble is waiting for. Which volume it cannot mount is said in Events alone."""
    said = f"pod {pod.name} is starting" + (f" ({pod.waiting_reason})" if pod.waiting_reason else "")
    mounted = list(_mounted_objects(cache))
    if pod.waiting_reason != "ContainerCreating" or not mounted:
        return said
    return (
        f"{said}. It needs {' and '.join(mounted)} in namespace {cache.namespace} (spec.sync.job.volumes, or the "
        f"operator's defaults); if that lasts, see kubectl describe pod {pod.name}"
    )


def _mounted_objects(cache: Cache) -> Iterator[str]:
    for volume in cache.job.volumes:
        for kind, source, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if found := (volume.get(source) or {}).get(name):
                yield f"{kind} {found}"


def run_failure(run: Run, pod: Pod, cache: Cache) -> Message:
    """For a run of a sync container that failed."""
    stalled = run.exit_code == NeedsChange.exit_code
    if run.reason == "OOMKilled":
        limit = f" of {pod.memory_limit}" if pod.memory_limit else ""
        return Message(
            "OOMKilled",
            f"the sync in pod {pod.name} was killed at its memory limit{limit}. Raise "
            "spec.sync.job.resources.limits.memory; what was downloaded is kept",
        )
    if run.observation and (named := incompleteness(run.observation, cache)):
        return Message(named.reason, named.text, stalled)
    if pod.reason == "Evicted":
        return Message("Evicted", f"pod {pod.name} was evicted; what was downloaded is kept")
    return Message(
        "SyncFailed",
        f"the sync in pod {pod.name} ended with exit code {run.exit_code} and left no report. See kubectl logs "
        f"{pod.name} -c init-sync",
        stalled,
    )


def incompleteness(observation: Observation, cache: Cache) -> Message | None:
    """For the first model that says why it is not complete."""
    missing = observation.incomplete()
    named = next((model for model in missing if model.reason), None)
    if named is None:
        return None
    others = len(missing) - 1
    more = f" (and {others} more {'model' if others == 1 else 'models'})" if others else ""
    text = f"{_of(named)}{named.message or f'is not complete: {named.reason}'}{more}"
    return Message(str(named.reason), text + _token(named.reason, cache))


def _token(reason: Reason | None, cache: Cache) -> str:
    """Where the token comes from that the hub refused, in the words of the manifest."""
    if reason not in (Reason.TOKEN_INVALID, Reason.GATED_REPO):
        return ""
    auth = cache.spec.get("auth") or {}
    if not auth.get("secretName"):
        return ". No token is sent: name its Secret in spec.auth"
    return f". The token is {auth.get('key') or 'token'!r} in Secret {auth['secretName']} (spec.auth)"


def _of(model: ModelReport) -> str:
    return f"{model.name}: " if model.name else ""


def claim_not_mounted(pods: tuple[Pod, ...], claim: str) -> str:
    """Pods that carry the cache's label and are of no use to it."""
    several = len(pods) > 1
    return (
        f"{WITHOUT_JOBS}, and {first(pods)} {'do' if several else 'does'} not mount claim {claim}, so cannot sync it. "
        f"Correct the claimName of {'their volumes' if several else 'its volume'}, or spec.volume.claimName"
    )


def pods_gated(pods: tuple[Pod, ...]) -> str:
    """Pods that wait for a sync that only one of them could do."""
    several = len(pods) > 1
    return (
        f"{WITHOUT_JOBS}, and {first(pods)} {'wait' if several else 'waits'} at the gate for another one to sync. "
        "Start a pod with the init container init-sync, or enable the Jobs"
    )


def first(pods: tuple[Pod, ...]) -> str:
    """One of several pods, and how many more there are."""
    name = min(pod.name for pod in pods)
    return f"pod {name}" if len(pods) == 1 else f"pod {name} and {len(pods) - 1} more"


def unknown_manifest(pod: Pod) -> str:
    """A sync that succeeded and proves nothing."""
    return (
        f"the sync in pod {pod.name} succeeded, but its report does not name the manifest that it read. Use an "
        "init-sync image of the operator's version"
    )


def config_map_taken(name: str, cache: str) -> str:
    """There is one of the name that the operator needs, and it was not made for this cache."""
    return (
        f"ConfigMap {name} exists and was not made for this ModelCache, so it is neither changed nor used. Delete it, "
        f"or give ModelCache {cache} another name"
    )


def other_volume(pod: str, claim: str) -> str:
    """The volume was exchanged under its claim."""
    return f"pod {pod} found another volume on claim {claim} than the one that was synced"
