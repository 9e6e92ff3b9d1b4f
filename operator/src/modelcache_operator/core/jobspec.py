"""``spec.volume`` and ``spec.sync.job`` of a manifest as values, with their defaults.

The manifest was validated before; what lies inside Kubernetes' own types is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BACKOFF_LIMIT = 3
TTL_S = 3600


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """The claim that holds the models, and whether the operator makes it."""

    claim: str
    """Empty: the manifest names none and none is to be created."""
    create: bool = False
    size: str = ""
    storage_class: str | None = None
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)
    delete_with_cache: bool = False


@dataclass(frozen=True, slots=True)
class JobSpec:
    """How sync Jobs run."""

    enabled: bool = True
    image: str | None = None
    pull_policy: str | None = None
    backoff_limit: int = BACKOFF_LIMIT
    deadline_s: int | None = None
    ttl_s: int = TTL_S
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None
    pod: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the pod's spec that are passed on: nodeSelector, tolerations, affinity, ..."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    security: Mapping[str, Any] = field(default_factory=dict)
    """Merged over the default security context of the pod."""
    env: Sequence[Mapping[str, Any]] = ()


POD_FIELDS = (
    *("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"),
    *("imagePullSecrets", "priorityClassName"),
)


def read_volume(name: str, spec: Mapping[str, Any]) -> VolumeSpec:
    """The claim is ``spec.volume.claimName``; one that is to be created may go without, and is named as the cache."""
    volume = spec.get("volume") or {}
    create = volume.get("create")
    claim = volume.get("claimName") or (name if create is not None else "")
    if create is None:
        return VolumeSpec(claim, delete_with_cache=False)
    return VolumeSpec(
        claim,
        create=True,
        size=create.get("size", ""),
        storage_class=create.get("storageClassName"),
        access_modes=tuple(create.get("accessModes") or ("ReadWriteOnce",)),
        delete_with_cache=volume.get("deletionPolicy") == "Delete",
    )


def read_job(spec: Mapping[str, Any]) -> JobSpec:
    job = (spec.get("sync") or {}).get("job") or {}
    return JobSpec(
        enabled=_or(job.get("enabled"), True),
        image=job.get("image"),
        pull_policy=job.get("imagePullPolicy"),
        backoff_limit=_or(job.get("backoffLimit"), BACKOFF_LIMIT),
        deadline_s=job.get("activeDeadlineSeconds"),
        ttl_s=_or(job.get("ttlSecondsAfterFinished"), TTL_S),
        labels=job.get("labels") or {},
        annotations=job.get("annotations") or {},
        service_account=job.get("serviceAccountName"),
        pod={key: job[key] for key in POD_FIELDS if job.get(key)},
        resources=job.get("resources") or {},
        security=job.get("podSecurityContext") or {},
        env=tuple(job.get("env") or ()),
    )


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
