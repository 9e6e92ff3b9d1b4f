"""Reading a status back from the API: the operator's only memory over a restart.

What an older operator did not write has its default, so that no field is ever missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport
from modelcache_operator.core.status import Condition, GateRecord, Phase, Status, SyncRecord, Totals


def read_status(data: Mapping[str, Any]) -> Status:
    """What the API kept; what an older version of the operator did not write has its default."""
    phase, sync = data.get("phase"), data.get("sync") or {}
    gate = data.get("gate") or {}
    return Status(
        observed_generation=data.get("observedGeneration") or 0,
        phase=Phase(phase) if phase in list(Phase) else None,
        message=data.get("message") or "",
        claim=data.get("claimName") or "",
        bytes_total=data.get("bytesTotal") or 0,
        bytes_present=data.get("bytesPresent") or 0,
        bytes_fetched=data.get("bytesFetched") or 0,
        bytes_verified=data.get("bytesVerified") or 0,
        bytes_per_second=data.get("bytesPerSecond") or 0,
        eta_seconds=data.get("etaSeconds"),
        models=tuple(_read_model(each) for each in data.get("models") or ()),
        reported_at=data.get("reportedAt") or "",
        conditions=tuple(_read_condition(each) for each in data.get("conditions") or ()),
        sync=_read_sync(sync),
        gate=GateRecord(
            released=gate.get("released") or 0,
            wait_s=float(gate.get("waitSeconds") or 0),
            gpu_s=float(gate.get("gpuSeconds") or 0),
            last_wait_s=float(gate.get("lastWaitSeconds") or 0),
            last_released_at=gate.get("lastReleasedAt") or "",
            counted=tuple(gate.get("counted") or ()),
        ),
        totals=_read_totals(data.get("totals") or {}),
    )


def _read_model(data: Mapping[str, Any]) -> ModelReport:
    reason = data.get("reason")
    return ModelReport(
        name=data.get("name") or "",
        complete=bool(data.get("complete")),
        revision=data.get("revision") or "",
        files_total=data.get("filesTotal") or 0,
        files_present=data.get("filesPresent") or 0,
        bytes_total=data.get("bytesTotal") or 0,
        bytes_present=data.get("bytesPresent") or 0,
        commit=data.get("commit"),
        chosen=data.get("chosen") or {},
        verified_at=data.get("verifiedAt"),
        reason=Reason(reason) if reason in list(Reason) else None,
        message=data.get("message") or "",
    )


def _read_condition(data: Mapping[str, Any]) -> Condition:
    return Condition(
        type=data.get("type") or "",
        status=data.get("status") or "Unknown",
        reason=data.get("reason") or "",
        message=data.get("message") or "",
        generation=data.get("observedGeneration") or 0,
        since=data.get("lastTransitionTime") or "",
    )


def _read_sync(data: Mapping[str, Any]) -> SyncRecord:
    return SyncRecord(
        claim_uid=data.get("claimUid") or "",
        manifest=data.get("manifest") or "",
        volume_id=data.get("volumeId") or "",
        attempt=data.get("attempt") or 0,
        settled=data.get("settledAttempt") or 0,
        failures=data.get("failures") or 0,
        job=data.get("job") or "",
        resync=data.get("resync") or "",
        finished_at=data.get("finishedAt") or "",
        proven_at=data.get("provenAt") or "",
        broken_at=data.get("brokenAt") or "",
        next_attempt_at=data.get("nextAttemptAt") or "",
    )


def _read_totals(data: Mapping[str, Any]) -> Totals:
    return Totals(
        syncs=data.get("syncs") or 0,
        failed_syncs=data.get("failedSyncs") or 0,
        sync_s=float(data.get("syncSeconds") or 0),
        bytes_fetched=data.get("bytesFetched") or 0,
        bytes_from_cache=data.get("bytesFromCache") or 0,
        hub_errors=data.get("hubErrors") or {},
        durations=data.get("durations") or {},
        counted=tuple(data.get("counted") or ()),
    )
