"""The objects of one cache as the operator observed them, reduced to what a decision needs.

``parse`` makes them from the API's JSON, the mirror keeps them, and ``reconcile`` gets them as one ``Snapshot``; pods
are in ``observed_pods``. Points in time are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelcache_operator.core.nodes import NO_NODES, Nodes
from modelcache_operator.core.observed_pods import Observation, PeerPod, Pod
from modelcache_operator.core.spec import AuthSpec, JobSpec, PeersSpec, ScrubSpec, VolumeSpec
from modelcache_operator.core.status import Status


@dataclass(frozen=True, slots=True)
class Cache:
    """A ModelCache."""

    namespace: str
    name: str
    uid: str
    version: str
    generation: int
    created_at: float
    resync: str
    """Value of the resync annotation; empty without one."""
    deleting: bool
    spec: Mapping[str, Any]
    digest: str
    """Of the manifest text that belongs into the ConfigMap: it names the content that must be on the volume."""
    content: str
    """Of the same text without anchors: what stays the same while only these change."""
    anchors: Mapping[str, str]
    """Digests that the manifest demands, by model."""
    problem: str
    """Why the manifest cannot be used; empty when it can."""
    models: tuple[str, ...]
    paths: Mapping[str, str]
    """Directory on the volume to digest of what belongs there: caches on one claim must agree."""
    volume: VolumeSpec
    auth: AuthSpec | None
    job: JobSpec
    peers: PeersSpec | None
    """None unless a complete copy is to be served."""
    lead_time_s: int
    """How long before the expected end of a sync gates are removed; 0: once the cache is complete."""
    scrub: ScrubSpec | None
    updates_s: int
    """How often the hub is asked whether branches have moved; 0: never."""
    status: Status


@dataclass(frozen=True, slots=True)
class Peers:
    """What is known of a cache's peer server."""

    pod: PeerPod | None = None
    created: str = ""
    """Uid of the pod that this process created last."""
    image: str = ""
    """Of servers, unless the manifest names one for sync Jobs."""


NO_PEERS = Peers()


@dataclass(frozen=True, slots=True)
class Job:
    """A Job of the operator's, or one of a user's with the cache's label."""

    namespace: str
    name: str
    uid: str
    version: str
    cache: str
    owner_uid: str
    generation: int
    attempt: int
    claim_uid: str
    """Of the claim that it was made for; empty when it does not say."""
    manifest: str
    """Digest of the manifest that it was made for."""
    resync: str
    created_at: float
    deleting: bool
    suspended: bool
    active: int
    """Pods of it that run or wait, as the Job controller counts them."""
    admission_gates: str
    """What Kueue waits for before it admits the Job: names, separated by commas."""
    outcome: str
    """Complete, Failed, or empty while it is not finished."""
    outcome_reason: str
    outcome_message: str
    finished_at: float | None
    node: str = ""
    """That it was made for; empty unless it syncs the copy of one node."""
    node_uid: str = ""
    kept_by: str = ""
    """The container that keeps it from finishing after its sync container has ended; see ``owned_objects``."""
    task: str = ""
    """plan, scrub or prune; empty for a sync."""
    about: str = ""
    """What a task was made for."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim."""

    namespace: str
    name: str
    uid: str
    version: str
    created_at: float
    phase: str
    storage_class: str
    access_modes: tuple[str, ...]
    size: str
    """That it asks for; empty when it does not say."""
    resize_error: str
    """Why its driver or the kubelet could not enlarge it; empty unless they say so."""
    deleting: bool
    created_for: str
    """The cache for which the operator created it; empty for a claim of the user's."""
    created_for_uid: str
    """Of that cache: another one of its name may not delete the claim. Version 0.1.0 did not write it."""
    owner_uids: frozenset[str]

    @property
    def bound(self) -> bool:
        """It has a volume, and keeps it."""
        return self.phase == "Bound" and not self.deleting


@dataclass(frozen=True, slots=True)
class Sample:
    """The bytes of a sync at one moment."""

    at: float
    total: int
    present: int
    fetched: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running sync container last said over HTTP."""

    pod_uid: str
    at: float
    observation: Observation
    samples: tuple[Sample, ...] = ()
    """Of what it said in the last minutes, oldest first; see ``lead_time``."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another cache on the same claim, with what it wants there."""

    name: str
    created_at: float
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refusals:
    """What the API refused to do for a cache, each in a sentence; empty where it did not."""

    reason: str = ""
    object: str = ""
    """An object could not be made or changed: nothing goes on without it."""
    until: float = 0.0
    """When to try that again."""
    owner: str = ""
    """An owner reference could not be set: the work goes on."""
    size: str = ""
    """A claim could not be enlarged: the work goes on."""
    gate: str = ""
    """The gate of a pod could not be removed."""
    task: str = ""
    """The Job of a task could not be made: the work goes on."""
    peers: str = ""
    """An object of the peer server could not be made, changed or deleted: the work goes on."""
    peers_reason: str = ""


NO_REFUSALS = Refusals()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a decision about one cache may look at."""

    cache: Cache
    pods: tuple[Pod, ...] = ()
    jobs: tuple[Job, ...] = ()
    claim: Claim | None = None
    """None: there is no such claim."""
    config_digest: str | None = None
    """Of the manifest in the ConfigMap as it is; None when there is none."""
    progress: Mapping[str, Progress] = field(default_factory=dict)
    """By the pod's uid."""
    neighbours: tuple[Neighbour, ...] = ()
    """Other caches on the same claim that want other content at a path of this one's."""
    claim_shared: bool = False
    """Whether any other cache uses the claim."""
    forbidden: str = ""
    """What the manifest asks for beyond the operator's limits; empty when it does not."""
    refusals: Refusals = NO_REFUSALS
    peers: Peers = NO_PEERS
    nodes: Nodes = NO_NODES
    """Nobody looks at them unless each node has a copy."""

    @property
    def own_job_uids(self) -> frozenset[str]:
        """Of syncs and tasks. Users may label Jobs of theirs, which have no attempt."""
        return frozenset(job.uid for job in self.jobs if job.attempt)

    @property
    def claim_uid(self) -> str:
        """Of the claim, or, while there is none, of the one that the status speaks of."""
        return self.claim.uid if self.claim else self.cache.status.sync.claim_uid
