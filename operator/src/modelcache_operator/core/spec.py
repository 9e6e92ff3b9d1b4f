"""The parts of a manifest's spec that the operator acts on, as values.

What lies inside Kubernetes' own types is passed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from init_sync.core.fields import duration_s
from init_sync.core.manifest_job import JOB
from init_sync.core.spec import Manifest
from modelcache_operator.core.job_defaults import with_defaults

POD_FIELDS = tuple(name for name, field in JOB.fields.items() if field.of_pod)
PLACEMENT = ("nodeSelector", "affinity", "topologySpreadConstraints")
"""Of those, what says on which node a pod runs."""
DEFAULT_HEADROOM = "10%"


@dataclass(frozen=True, slots=True)
class PerNodeSpec:
    """Which nodes have a copy each."""

    selector: Mapping[str, str]
    tolerations: Sequence[Mapping[str, Any]]
    """Those of the pods that sync."""
    max_parallel: int


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """The claim that holds the models, and whether the operator makes it."""

    claim: str
    """Empty: the manifest names none and none is to be created."""
    create: bool = False
    size: str = ""
    """With a size that the models decide: empty until it is known."""
    headroom: int | None = None
    """In percent, with a size that the models decide; else None."""
    storage_class: str | None = None
    access_modes: tuple[str, ...] = ()
    delete_with_cache: bool = False
    per_node: PerNodeSpec | None = None
    """None unless each node of a group has its own copy."""
    prune: bool = False
    """Whether files that nothing needs any more are removed."""

    @property
    def auto(self) -> bool:
        return self.headroom is not None


@dataclass(frozen=True, slots=True)
class ScrubSpec:
    """How the volume is read again, in the words of the command."""

    every: str
    rate: str

    @property
    def every_s(self) -> int:
        return duration_s(self.every)


@dataclass(frozen=True, slots=True)
class AuthSpec:
    """Where a token is."""

    secret_name: str
    key: str


@dataclass(frozen=True, slots=True)
class PeersSpec:
    """How a complete copy is served."""

    token: AuthSpec | None
    """Where the token is that clients must send."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """How sync Jobs run: the fields of ``spec.sync.job`` under their own names. Empty: not set."""

    enabled: bool
    image: str
    image_pull_policy: str
    pod: Mapping[str, Any]
    """Fields that the pod has too: nodeSelector, tolerations, affinity, ..."""
    resources: Mapping[str, Any]
    run_as_default_user: bool
    pod_security_context: Mapping[str, Any]
    env: Sequence[Mapping[str, Any]]
    volumes: Sequence[Mapping[str, Any]]
    volume_mounts: Sequence[Mapping[str, Any]]
    log_format: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    backoff_limit: int
    active_deadline_seconds: int | None
    ttl_seconds_after_finished: int


def volume_spec(manifest: Manifest, job: JobSpec) -> VolumeSpec:
    """A claim that is to be created may go without a name, and is named as the cache."""
    volume = manifest.spec["volume"]
    create, per_node = volume["create"], volume["perNode"]
    if create is None:
        tolerations = job.pod.get("tolerations", ())
        group = PerNodeSpec(per_node["nodeSelector"], tolerations, per_node["maxParallel"]) if per_node else None
        return VolumeSpec(volume["claimName"], per_node=group, prune=bool(volume["prune"]))
    auto = create["size"] == "auto"
    return VolumeSpec(
        volume["claimName"] or manifest.name,
        create=True,
        size="" if auto else create["size"],
        headroom=int((create["headroom"] or DEFAULT_HEADROOM).rstrip("%")) if auto else None,
        storage_class=create["storageClassName"] or None,
        access_modes=tuple(create["accessModes"]),
        delete_with_cache=volume["deletionPolicy"] == "Delete",
        prune=bool(volume["prune"]),
    )


def auth_spec(manifest: Manifest) -> AuthSpec | None:
    auth = manifest.spec["auth"]
    return AuthSpec(auth["secretName"], auth["key"]) if auth else None


def peers_spec(manifest: Manifest) -> PeersSpec | None:
    peers = manifest.spec["peers"]
    token = peers["tokenSecret"]
    return PeersSpec(AuthSpec(token["name"], token["key"]) if token else None) if peers["enabled"] else None


def scrub_spec(manifest: Manifest) -> ScrubSpec | None:
    scrub = manifest.spec["scrub"]
    return ScrubSpec(scrub["every"], scrub["rate"]) if scrub else None


def updates_s(manifest: Manifest) -> int:
    """0 when they are not looked for."""
    updates = manifest.spec["updates"]
    return duration_s(updates["check"]) if updates else 0


def lead_time_s(manifest: Manifest) -> int:
    """0 when there is none."""
    return duration_s(manifest.spec["gate"]["leadTime"])


def job_spec(manifest: Manifest, spec: Mapping[str, Any], defaults: Mapping[str, Any]) -> JobSpec:
    """``spec``: as the author wrote it, if it is valid."""
    job = with_defaults(manifest.spec["sync"]["job"], spec, defaults)
    own = {_attribute(name): value for name, value in job.items() if name not in POD_FIELDS}
    own["env"] = [{key: value for key, value in variable.items() if value} for variable in job["env"]]
    pod = {name: job[name] for name in POD_FIELDS if job[name]}
    if per_node := manifest.spec["volume"]["perNode"]:
        pod = {name: value for name, value in pod.items() if name not in PLACEMENT}
        if tolerations := [*job["tolerations"], *per_node["tolerations"]]:
            pod["tolerations"] = tolerations
    return JobSpec(pod=pod, **own)


def _attribute(name: str) -> str:
    """``backoff_limit`` for ``backoffLimit``."""
    return re.sub(r"(?=[A-Z])", "_", name).lower()
