"""Sentences for what keeps a sync from running or ended it: what is wrong, and what to do."""

from __future__ import annotations

from init_sync.core.report import ModelReport
from modelcache_operator.core.facts import Observation, PodFacts, Run, RunState

IMAGE_PROBLEMS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CONFIG_PROBLEMS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")

WITHOUT_JOBS = "sync Jobs are switched off (spec.sync.job.enabled: false)"


def trouble(pod: PodFacts) -> tuple[str, str] | None:
    """Reason and sentence for a pod that does not get to run its sync container; None when nothing is wrong."""
    if pod.unschedulable:
        return (
            "Unschedulable",
            f"pod {pod.name} cannot be scheduled: {pod.unschedulable}. Check spec.sync.job.nodeSelector, tolerations "
            "and resources, and the zone of the volume",
        )
    if pod.state is not RunState.WAITING:
        return None
    said = f" ({pod.waiting_message})" if pod.waiting_message else ""
    if pod.waiting_reason in IMAGE_PROBLEMS:
        return (
            "ImagePullFailed",
            f"pod {pod.name} cannot pull its sync image: {pod.waiting_reason}{said}. Check spec.sync.job.image and "
            "imagePullSecrets",
        )
    if pod.waiting_reason in CONFIG_PROBLEMS:
        return (
            "ContainerConfigError",
            f"pod {pod.name} cannot start its sync container: {pod.waiting_reason}{said}. Check that the Secret in "
            "spec.auth and what spec.sync.job.env refers to exist",
        )
    return None


def waiting(pod: PodFacts) -> str:
    """What a pod without trouble is waiting for."""
    return f"pod {pod.name} is starting" + (f" ({pod.waiting_reason})" if pod.waiting_reason else "")


def run_failure(run: Run, pod: PodFacts) -> tuple[str, str]:
    """Reason and sentence for a run of a sync container that did not end well."""
    if run.reason == "OOMKilled":
        limit = f" of {pod.memory_limit}" if pod.memory_limit else ""
        return (
            "OOMKilled",
            f"the sync in pod {pod.name} was killed at its memory limit{limit}. Raise "
            "spec.sync.job.resources.limits.memory; what was fetched is kept",
        )
    if run.observation and (named := incompleteness(run.observation)):
        return named
    if pod.reason == "Evicted":
        return "Evicted", f"pod {pod.name} was evicted; what was fetched is kept"
    return (
        "SyncFailed",
        f"the sync in pod {pod.name} ended with exit code {run.exit_code} and left no report. See kubectl logs "
        f"{pod.name} -c init-sync",
    )


def claim_not_mounted(pods: tuple[PodFacts, ...], claim: str) -> str:
    """Pods that carry the cache's label and are of no use to it."""
    several = len(pods) > 1
    return (
        f"{WITHOUT_JOBS}, and {_first(pods)} {'do' if several else 'does'} not mount claim {claim}, so cannot sync it. "
        f"Correct the claimName of {'their volumes' if several else 'its volume'}, or spec.volume.claimName"
    )


def pods_gated(pods: tuple[PodFacts, ...]) -> str:
    """Pods that wait for a sync that only one of them could do."""
    several = len(pods) > 1
    return (
        f"{WITHOUT_JOBS}, and {_first(pods)} {'wait' if several else 'waits'} at the gate for another one to sync. "
        "Start a pod without the gate that does, or switch the Jobs on"
    )


def _first(pods: tuple[PodFacts, ...]) -> str:
    first = min(pod.name for pod in pods)
    return f"pod {first}" if len(pods) == 1 else f"pod {first} and {len(pods) - 1} more"


def unknown_manifest(pod: PodFacts) -> str:
    """A sync that ended well and proves nothing."""
    return (
        f"the sync in pod {pod.name} ended well, but its report does not name the manifest that it read. Use an "
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


def incompleteness(observation: Observation) -> tuple[str, str] | None:
    """Reason and sentence for the first model that says why it is not complete."""
    missing = observation.incomplete()
    named = next((model for model in missing if model.reason), None)
    if named is None:
        return None
    others = len(missing) - 1
    more = f" (and {others} more {'model' if others == 1 else 'models'})" if others else ""
    return str(named.reason), f"{_of(named)}{named.message or f'is not complete: {named.reason}'}{more}"


def _of(model: ModelReport) -> str:
    return f"{model.name}: " if model.name else ""


def duration(seconds: float) -> str:
    """``45s``, ``12m3s``, ``2h5m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s"
    return f"{whole // 3600}h{whole % 3600 // 60}m"
