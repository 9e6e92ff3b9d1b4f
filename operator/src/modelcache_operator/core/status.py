"""The status of a ModelCache as values, and as the JSON that the API keeps.

    observedGeneration: 3
    phase: Ready                      # Pending | Syncing | Ready | Degraded | Failed
    message: all 3 models are verified
    complete: true
    summary: {models: 3/3, progress: 100%, size: 86.2Gi, rate: "", commit: "a1b2c3d,..."}    # the printer columns
    claimName: multitalk-models
    bytesTotal, bytesPresent, bytesFetched, bytesVerified, bytesPerSecond, etaSeconds, verifiedAt
    models: [...]                     # as in init-sync's report
    conditions: [Complete, Syncing, VolumeReady]
    sync: {claimUid, manifest, volumeId, attempt, settledAttempt, failures, job, resync, finishedAt, provenAt,
          brokenAt, nextAttemptAt}    # about one claim and one content
    gate: {released, waitSeconds, gpuSeconds, lastWaitSeconds, lastReleasedAt,
          counted}
    totals: {...}                     # what the metrics that only grow are made of

Everything that the operator must remember lies here: it keeps nothing else over a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from init_sync.core.report import ModelReport


class Phase(StrEnum):
    """One word for where a cache stands."""

    PENDING = "Pending"
    SYNCING = "Syncing"
    READY = "Ready"
    DEGRADED = "Degraded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Condition:
    """As in every Kubernetes API."""

    type: str
    status: str
    reason: str
    message: str
    generation: int
    since: str

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": self.generation,
            "lastTransitionTime": self.since,
        }


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """What the sync Jobs for one content on one claim have proven, and when the next one is due."""

    claim_uid: str = ""
    """The claim that all of this is about: another one of the same name needs a proof of its own."""
    manifest: str = ""
    """The digest of the content that all of this is about."""
    volume_id: str = ""
    """Of the volume that was proven complete; empty when its id is not known."""
    attempt: int = 0
    """Of the newest Job that was made; counts on over all claims and contents."""
    settled: int = 0
    """Of the newest Job whose end was taken into account."""
    failures: int = 0
    """Jobs that failed finally, one after the other."""
    job: str = ""
    resync: str = ""
    """Value of the resync annotation that was acted on last."""
    finished_at: str = ""
    """End of the last Job that was settled."""
    proven_at: str = ""
    """When it was last proven complete; empty if it never was."""
    broken_at: str = ""
    """When a sync last found it incomplete; what is later counts."""
    next_attempt_at: str = ""

    def is_about(self, claim_uid: str, manifest: str) -> bool:
        return (self.claim_uid, self.manifest) == (claim_uid, manifest)

    def to_json(self) -> dict[str, Any]:
        return {
            "claimUid": self.claim_uid or None,
            "manifest": self.manifest or None,
            "volumeId": self.volume_id or None,
            "attempt": self.attempt,
            "settledAttempt": self.settled,
            "failures": self.failures,
            "job": self.job,
            "resync": self.resync,
            "finishedAt": self.finished_at or None,
            "provenAt": self.proven_at or None,
            "brokenAt": self.broken_at or None,
            "nextAttemptAt": self.next_attempt_at or None,
        }


@dataclass(frozen=True, slots=True)
class GateRecord:
    """How many pods went through the gate, and how long they waited."""

    released: int = 0
    wait_s: float = 0.0
    gpu_s: float = 0.0
    """The same, each pod's seconds times the GPUs that it asks for: what was not held idle."""
    last_wait_s: float = 0.0
    last_released_at: str = ""
    counted: tuple[str, ...] = ()
    """Which of the pods that still exist are in these sums, by the beginning of their uid."""

    def to_json(self) -> dict[str, Any]:
        return {
            "released": self.released,
            "waitSeconds": round(self.wait_s, 3),
            "gpuSeconds": round(self.gpu_s, 3),
            "lastWaitSeconds": round(self.last_wait_s, 3),
            "lastReleasedAt": self.last_released_at or None,
            "counted": list(self.counted),
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all syncs of this cache, by its Jobs and by the init containers of its pods."""

    syncs: int = 0
    failed_syncs: int = 0
    sync_s: float = 0.0
    bytes_fetched: int = 0
    bytes_from_cache: int = 0
    hub_errors: Mapping[str, int] = field(default_factory=dict)
    durations: Mapping[str, int] = field(default_factory=dict)
    """Syncs by the upper end, in seconds, of the bucket that their duration falls in."""
    counted: tuple[str, ...] = ()
    """Keys of the runs that are in these sums already and can still be seen."""

    def to_json(self) -> dict[str, Any]:
        return {
            "syncs": self.syncs,
            "failedSyncs": self.failed_syncs,
            "syncSeconds": round(self.sync_s, 3),
            "bytesFetched": self.bytes_fetched,
            "bytesFromCache": self.bytes_from_cache,
            "hubErrors": dict(self.hub_errors),
            "durations": dict(self.durations),
            "counted": list(self.counted),
        }


@dataclass(frozen=True, slots=True)
class Status:
    """All of it."""

    observed_generation: int = 0
    phase: Phase | None = None
    message: str = ""
    claim: str = ""
    bytes_total: int = 0
    bytes_present: int = 0
    bytes_fetched: int = 0
    bytes_verified: int = 0
    bytes_per_second: int = 0
    eta_seconds: int | None = None
    models: tuple[ModelReport, ...] = ()
    reported_at: str = ""
    """Moment of the report that the figures come from; older reports do not replace newer ones."""
    conditions: tuple[Condition, ...] = ()
    sync: SyncRecord = field(default_factory=SyncRecord)
    gate: GateRecord = field(default_factory=GateRecord)
    totals: Totals = field(default_factory=Totals)

    @property
    def complete(self) -> bool:
        """Whether the observed generation is on the volume, as far as is known."""
        found = self.condition("Complete")
        return found is not None and found.status == "True" and found.generation == self.observed_generation

    @property
    def verified_at(self) -> str | None:
        """When the model that was verified longest ago was; None unless all were."""
        moments = [model.verified_at for model in self.models]
        return min((each for each in moments if each), default=None) if all(moments) else None

    def condition(self, type_: str) -> Condition | None:
        return next((each for each in self.conditions if each.type == type_), None)

    def to_json(self) -> dict[str, Any]:
        """Keys whose value is None are meant to be absent."""
        return {
            "observedGeneration": self.observed_generation,
            "phase": self.phase,
            "message": self.message,
            "complete": self.complete,
            "summary": self.summary(),
            "claimName": self.claim or None,
            "bytesTotal": self.bytes_total,
            "bytesPresent": self.bytes_present,
            "bytesFetched": self.bytes_fetched,
            "bytesVerified": self.bytes_verified,
            "bytesPerSecond": self.bytes_per_second,
            "etaSeconds": self.eta_seconds,
            "verifiedAt": self.verified_at,
            "reportedAt": self.reported_at or None,
            "models": [_without_none(model.to_json()) for model in self.models],
            "conditions": [each.to_json() for each in self.conditions],
            "sync": _without_none(self.sync.to_json()),
            "gate": _without_none(self.gate.to_json()),
            "totals": self.totals.to_json(),
        }

    def summary(self) -> dict[str, str]:
        done = sum(model.complete for model in self.models)
        # 100% is said of what is complete: all bytes may be there and not yet be verified
        percent = f"{min(99, 100 * self.bytes_present // self.bytes_total)}%" if self.bytes_total else ""
        return {
            "models": f"{done}/{len(self.models)}",
            "progress": "100%" if self.complete else percent,
            "size": quantity(self.bytes_total) if self.bytes_total else "",
            "rate": f"{quantity(self.bytes_per_second)}/s" if self.bytes_per_second else "",
            "commit": ",".join(model.commit[:7] for model in self.models if model.commit),
        }


def quantity(count: int) -> str:
    """Bytes as Kubernetes writes them, with three digits at most: 86.2Gi."""
    value, units = float(count), ["", "Ki", "Mi", "Gi", "Ti", "Pi"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f}{units[0]}" if value >= 100 or units[0] == "" else f"{value:.1f}{units[0]}"


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}
