"""The status of a ModelCache: declared once, for decisions, for the API, and for the custom resource definition.

Fields are read and written by pydantic under their names in camelCase. What is empty is absent in the API, and what an
older operator did not write has its default. The docstring of a field is its description in the definition, which
``tools/crd_status.py`` makes of this module. The operator keeps nothing else over a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from sys import intern
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, with_config

from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport
from modelcache_operator.core.status_fields import CAMEL, Time, Word
from modelcache_operator.core.task_status import PruneStatus, ScrubStatus, SizeStatus, UpdatesStatus


class Phase(StrEnum):
    """Where a cache stands, in one word."""

    PENDING = "Pending"
    SYNCING = "Syncing"
    READY = "Ready"
    DEGRADED = "Degraded"
    FAILED = "Failed"


def _known_phase(value: object) -> object:
    """A word that this version does not know counts as none."""
    return value if value in list(Phase) else None


def _with_defaults(model: Any) -> Any:
    if not isinstance(model, dict):
        return model
    reason = model.get("reason")
    texts = {key: intern(each) for key, each in model.items() if type(each) is str}
    known = {"reason": reason if reason in list(Reason) else None}
    return {"complete": False, "revision": "", **model, **texts, **known}


Model = Annotated[ModelReport, BeforeValidator(_with_defaults)]


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class Condition:
    """As in every Kubernetes API."""

    type: Word
    """Complete, Ready, Reconciling, Stalled, Syncing, VolumeReady, PodsHeld, PeersReady or UpdateAvailable."""
    status: Annotated[Word, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    """True, False or Unknown."""
    reason: Word = ""
    """One word that says why."""
    message: Word = ""
    """A sentence that says why, and what to do."""
    last_transition_time: Time = ""
    """When its status changed last."""
    observed_generation: int = 0
    """The generation of the spec that it is about."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class Summary:
    """The figures as kubectl prints them."""

    models: Word = ""
    """Complete models of all."""
    progress: Word = ""
    """Bytes present of all, in percent."""
    size: Word = ""
    """Bytes of all models."""
    rate: Word = ""
    """Rate of a running sync."""
    eta: Word = ""
    """Estimated time remaining of a running sync."""
    commit: Word = ""
    """Commit of each model."""
    digest: Word = ""
    """Digest of each model."""
    nodes: Word = ""
    """Complete copies of all, with spec.volume.perNode."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class SyncRecord:
    """What sync Jobs have proven of one content on one claim, and when the next one is made."""

    claim_uid: str = ""
    """Uid of the claim that this is about. Another claim of the same name needs a proof of its own."""
    manifest: str = ""
    """Digest of the content that this is about, of models and allowPickles."""
    content: str = ""
    """The same without models[].digest: while only these change, and the digests below are those demanded, the proof
    stays."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digest of each model that was proven, as far as the sync that proved it reported them."""
    volume_id: str = ""
    """Id of the volume that was proven complete; absent when it has none, or none is known."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """Commit of each model that was proven, as far as the sync that proved it reported them. With spec.volume.perNode
    those of the first copy, to which the other copies are pinned."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """With spec.volume.perNode, by node: digest of its uid, first digits of the proven volume's id, number and end of
    its last Job, Jobs that failed in a row."""
    attempt: int = 0
    """Number of the newest Job; counts on over all claims and contents."""
    settled_attempt: int = 0
    """Number of the newest Job whose end was taken into account."""
    failures: int = 0
    """Jobs that failed permanently, one after the other."""
    job: str = ""
    """Name of the newest Job."""
    resync: str = ""
    """Value of the annotation modelcache.dev/resync that was acted on last."""
    finished_at: Time = ""
    """End of the last Job that was taken into account."""
    proven_at: Time = ""
    """When it was last proven complete."""
    broken_at: Time = ""
    """When it was last found incomplete. The later of the two counts."""
    next_attempt_at: Time = ""
    """When the next Job is made."""

    def is_about(self, claim_uid: str, manifest: str) -> bool:
        return (self.claim_uid, self.manifest) == (claim_uid, manifest)


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class CommitPods:
    """Pods that were started on the same commits."""

    commit: Word = ""
    """Commit of each model, as in the summary; absent where no pod says it."""
    pods: int = 0
    """How many pods."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class PodsStatus:
    """Pods with the cache's label, those of sync Jobs aside."""

    waiting: int = 0
    """Pods that nothing but the scheduling gate holds."""
    early: int = 0
    """Pods whose gate was removed for spec.gate.leadTime and that still wait for the cache: they hold their GPUs."""
    started: int = 0
    """Pods that use the cache: their sync container has succeeded."""
    outdated: int = 0
    """Started pods whose commits are not those on the volume any more. Restart them to load what is there now."""
    commits: tuple[CommitPods, ...] = ()
    """Started pods by the commits that they found on the volume, most pods first; 10 at most."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class PeersStatus:
    """The peer server."""

    address: str = ""
    """Where it answers while the condition PeersReady is True: a value for --peer or HF_ENDPOINT."""
    pod_uid: str = ""
    """Uid of the pod that the operator created for it. Another pod of its name gets no requests."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class NodesStatus:
    """Copies by what they are."""

    total: int = 0
    """Nodes that have a copy, or are to have one."""
    complete: int = 0
    """Copies that are complete."""
    syncing: int = 0
    """Copies that are not, and are being synced."""
    failed: int = 0
    """Copies whose last sync failed; it is tried again."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class CopyStatus:
    """A copy that is not complete."""

    node: str = ""
    """The node."""
    state: Word = ""
    """missing, syncing, failed, or unavailable: no pod can start on the node."""
    reason: Word = ""
    """Why, in one word."""
    message: str = ""
    """Why, in a sentence."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class Status:
    """What is on the volume, and what the operator does about it."""

    observed_generation: int = 0
    """The generation of the spec that this status is about."""
    phase: Annotated[Phase | None, BeforeValidator(_known_phase)] = None
    """Pending, Syncing, Ready, Degraded or Failed."""
    message: str = ""
    """Why it is in this phase."""
    complete: bool = False
    """Whether every model is on the volume, verified. A GPU may start then."""
    summary: Summary = field(default_factory=Summary)
    """The figures as kubectl prints them."""
    claim_name: str = ""
    """The claim that holds the models."""
    bytes_total: int = 0
    """Bytes that the models need; 0 until the hub has listed them."""
    bytes_present: int = 0
    """Bytes of them that are on the volume."""
    bytes_fetched: int = 0
    """Bytes that the last sync received from the hub."""
    bytes_verified: int = 0
    """Bytes that the last sync read back from the volume and hashed."""
    bytes_per_second: int = 0
    """Rate of a running sync; 0 when none runs."""
    eta_seconds: int | None = None
    """Estimated time remaining of a running sync."""
    verified_at: Time = ""
    """The oldest verification among the models; absent unless all were verified."""
    reported_at: Time = ""
    """When the figures above were reported."""
    models: tuple[Model, ...] = ()
    """One entry for each model."""
    conditions: tuple[Condition, ...] = ()
    """Complete and Ready (may a GPU start?), Reconciling (is it being worked on?), Stalled (must a person act?),
    Syncing (does a sync run?), VolumeReady (is there a volume?), PodsHeld (only if a pod may hold a GPU too early),
    PeersReady (with spec.peers: is the copy served?), UpdateAvailable (with spec.updates: has a branch moved?)."""
    sync: SyncRecord = field(default_factory=SyncRecord)
    """What sync Jobs have proven of one content on one claim, and when the next one is made."""
    pods: PodsStatus = field(default_factory=PodsStatus)
    """Pods that wait for the cache, or use it."""
    peers: PeersStatus = field(default_factory=PeersStatus)
    """The peer server; absent unless spec.peers is enabled."""
    nodes: NodesStatus | None = None
    """Copies; absent without spec.volume.perNode."""
    copies: tuple[CopyStatus, ...] = ()
    """Copies that are not complete, 100 at most; see sync.copies for all."""
    size: SizeStatus | None = None
    """How large the models are; absent without spec.volume.create.size: auto."""
    scrub: ScrubStatus | None = None
    """When the files were read again; absent without spec.scrub."""
    updates: UpdatesStatus | None = None
    """What the hub has that is newer; absent without spec.updates."""
    prune: PruneStatus | None = None
    """Files that nothing needs any more."""

    def condition(self, type_: str) -> Condition | None:
        return next((each for each in self.conditions if each.type == type_), None)

    def is_true(self, type_: str) -> bool:
        found = self.condition(type_)
        return found is not None and found.status == "True"


STATUS: TypeAdapter[Status] = TypeAdapter(Status)


def parse_status(data: Mapping[str, Any]) -> Status:
    """The status that the API keeps; one that no version wrote counts as none."""
    try:
        return STATUS.validate_python(_pruned(data))
    except ValidationError:
        return Status()


def to_json(status: Status) -> dict[str, Any]:
    """For the API, without what is empty."""
    found: dict[str, Any] = _pruned(STATUS.dump_python(status, mode="json", by_alias=True))
    return found


def _pruned(data: Any) -> Any:
    """Without what is empty, which is what an absent field means."""
    if isinstance(data, Mapping):
        pairs = ((key, _pruned(each)) for key, each in data.items())
        return {key: each for key, each in pairs if each not in (None, "", {}, [])}
    return [_pruned(each) for each in data] if isinstance(data, list) else data
