"""Pods of a cache as the operator observed them: what their sync containers report, and where they stand.

``parse_pods`` makes them from the API's JSON. Points in time are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport
from modelcache_operator.core.node_affinity import ANY_NODE, RequiredNodeAffinity


@dataclass(frozen=True, slots=True)
class Observation:
    """A report that came from a sync container, already validated and bounded (see ``reports``)."""

    complete: bool
    bytes_total: int
    bytes_present: int
    bytes_fetched: int
    bytes_verified: int
    bytes_per_second: int
    eta_seconds: int | None
    models: tuple[ModelReport, ...]
    """May lack models: a termination message is cut to 4096 bytes, complete models first."""
    manifest: str = ""
    """``sha256:...`` of the manifest file that the container read; empty when it does not say."""
    volume_id: str = ""
    """The id on the volume that it mounted; empty when it has none, or the container does not say."""
    bytes_unused: int | None = None
    """On the volume, that ``prune`` would free."""

    def incomplete(self) -> tuple[ModelReport, ...]:
        return tuple(model for model in self.models if not model.complete)


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What ``plan`` or ``prune`` said in the end, validated and bounded likewise."""

    bytes_total: int = 0
    bytes_to_fetch: int = 0
    bytes_freed: int = 0
    commits: Mapping[str, str] = field(default_factory=dict)
    """Of each model."""
    reason: Reason | None = None
    """Why a plan cannot be carried out."""
    message: str = ""


class RunState(StrEnum):
    """Of the sync container of a pod."""

    ABSENT = "absent"
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a sync container that ended."""

    key: str
    """Unique: pod and number of the restart."""
    started_at: float
    finished_at: float
    exit_code: int
    reason: str
    """The kubelet's word, such as OOMKilled."""
    observation: Observation | None
    task: TaskReport | None = None
    """In the pod of a task."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with the cache's label."""

    namespace: str
    name: str
    uid: str
    version: str
    cache: str
    created_at: float
    deleting_since: float | None
    """When its deletion was asked for, or its grace period ends; None unless it is being deleted."""
    owner_uid: str
    """Of its controller: a Job of ours, a ReplicaSet, ..."""
    node: str
    gates: tuple[str, ...]
    commit: str
    """Of the annotation that the operator wrote when it removed the gate."""
    opened: bool
    """Whether the operator noted that it removed the gate."""
    early: bool
    """Whether it noted that the cache was not complete then."""
    opted_out: bool
    """It carries the cache's label and wants nothing of it."""
    annotated: bool
    """Whether it has any annotation: the map to add one to may be missing."""
    claims: frozenset[str]
    verifies: bool
    """An init container of its own waits for the cache: it may be started before the cache is complete."""
    reason: str
    """Why the whole pod failed, such as Evicted."""
    unschedulable: str
    """The scheduler's message; empty unless it cannot place the pod."""
    state: RunState
    running_since: float | None
    """Start of the run that has not ended; None when none runs."""
    waiting_reason: str
    waiting_message: str
    runs: tuple[Run, ...]
    """Those that can still be seen, oldest first: at most the last two."""
    running_neighbours: tuple[str, ...]
    """Containers that run beside a sync container that has ended, and keep the pod from ending."""
    address: str
    host_network: bool
    """Its address is that of the node."""
    port: int | None
    memory_limit: str = ""
    gpus: int = 0
    """That it asks for, and would hold idle if it ran before its models were there."""
    ended: bool = False
    """It does not use its volumes any more."""
    placed_at: float | None = None
    """When it got its node; None when it has none, or nothing says when."""
    node_affinity: RequiredNodeAffinity = ANY_NODE
    """Kept while it has no node."""
    task: str = ""
    """The task of the Job that it says it is of."""

    @property
    def deleting(self) -> bool:
        return self.deleting_since is not None

    @property
    def uses_volumes(self) -> bool:
        """Or will, as far as is known."""
        return not (self.ended or self.deleting)


@dataclass(frozen=True, slots=True)
class PeerPod:
    """A pod with the name and the label of a cache's peer server."""

    namespace: str
    name: str
    uid: str
    version: str
    cache: str
    created_at: float
    deleting: bool
    owner_uid: str
    node: str
    template: str
    """Digest of what it was made from, as its annotation says."""
    ended: bool
    ready: bool
    """It answers, and has an address."""
    address: str
    trouble: str
    """What keeps it from starting; empty unless Kubernetes says."""
