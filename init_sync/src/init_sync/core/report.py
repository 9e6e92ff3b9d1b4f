"""The report: one JSON object that says how complete a cache is, wherever it is read.

``status --json`` prints it, ``--report`` writes it, ``GET /status`` serves it and the operator copies it. Kubernetes
keeps at most 4096 bytes of a termination message: ``fit`` shortens a report to that, dropping first what an operator
can do without, never a model that is not complete as long as any complete one is left to drop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from init_sync.core.errors import SyncError
from init_sync.core.reasons import Reason

TERMINATION_MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model. Totals are 0 until the hub has listed the repository."""

    name: str
    """Its name in the spec."""
    complete: bool
    """Whether all of its files are on the volume, verified."""
    revision: str
    """The revision asked for."""
    files_total: int = 0
    """Files that it needs."""
    files_present: int = 0
    """Files of them that are complete."""
    bytes_total: int = 0
    """Bytes that it needs."""
    bytes_present: int = 0
    """Bytes of them on the volume."""
    commit: str | None = None
    """The commit that the revision was resolved to."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Alternative taken of oneOf, and the revision it came from."""
    verified_at: str | None = None
    """When it was verified."""
    digest: str | None = None
    """The digest of its content, as sha256:HEX; null unless it is complete, and where it is not known."""
    reason: Reason | None = None
    """Why it is not complete, in one word."""
    message: str = ""
    """Why it is not complete, in a sentence."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "complete": self.complete,
            "filesTotal": self.files_total,
            "filesPresent": self.files_present,
            "bytesTotal": self.bytes_total,
            "bytesPresent": self.bytes_present,
            "revision": self.revision,
            "commit": self.commit,
            "chosen": dict(self.chosen),
            "verifiedAt": self.verified_at,
            "digest": self.digest,
            "reason": self.reason,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A whole cache."""

    cache: str
    models: tuple[ModelReport, ...]
    bytes_fetched: int = 0
    """Bytes that this run received, from the hub and from peers."""
    bytes_from_peers: int = 0
    """Those of them that peers sent."""
    bytes_verified: int = 0
    """Bytes that this run read back from the volume and hashed: what shows that it moves while nothing is fetched."""
    bytes_per_second: int = 0
    """Current rate of a running sync; 0 when none is running."""
    eta_seconds: int | None = None
    """Expected rest of a running sync; None when unknown or not running."""
    manifest: str = ""
    """``sha256:...`` of the file that the manifest was read from: which one was synced. Empty when nobody knows."""
    volume_id: str | None = None
    """The random id that the first sync gave the volume; None when it has none, or none that can be read."""
    bytes_unused: int | None = None
    """What ``prune`` would free; None when nobody looked, as on a warm start, or when it cannot be told."""

    @property
    def complete(self) -> bool:
        return bool(self.models) and all(model.complete for model in self.models)

    @property
    def bytes_total(self) -> int:
        return sum(model.bytes_total for model in self.models)

    @property
    def bytes_present(self) -> int:
        return sum(model.bytes_present for model in self.models)

    def to_json(self) -> dict[str, Any]:
        return {
            "cache": self.cache,
            **({"manifest": self.manifest} if self.manifest else {}),
            "volumeId": self.volume_id,
            "complete": self.complete,
            "bytesTotal": self.bytes_total,
            "bytesPresent": self.bytes_present,
            "bytesFetched": self.bytes_fetched,
            "bytesFromPeers": self.bytes_from_peers,
            "bytesVerified": self.bytes_verified,
            "bytesPerSecond": self.bytes_per_second,
            "etaSeconds": self.eta_seconds,
            "bytesUnused": self.bytes_unused,
            "models": [model.to_json() for model in self.models],
        }

    def text(self) -> str:
        return _text(self.to_json())

    def fit(self, limit: int = TERMINATION_MESSAGE_BYTES) -> str:
        """The report as JSON of at most ``limit`` bytes.

        Tried in turn until it fits: everything; messages cut; without empty fields and what is known elsewhere;
        complete models by name and digest only; without the digests of the last ones; incomplete ones by reason only;
        models left out, complete ones first. The totals stay true, and the manifest's digest and the volume's id stay:
        without them a pod's report proves nothing.
        """
        whole = self.to_json()

        def fits(models: list[dict[str, Any]]) -> bool:
            return len(_text({**whole, "models": models}).encode()) <= limit

        for shorten in (_as_is, _cut_messages, _essential, _reasons):
            kept = [shorten(model) for model in self.models]
            if fits(kept):
                return _text({**whole, "models": kept})
        order = sorted(self.models, key=lambda model: model.complete)
        for shorten in (_reasons, _bare):
            kept = [shorten(model) for model in order]
            for model in reversed(kept):
                if fits(kept):
                    break
                model.pop("digest", None)
            if fits(kept):
                break
        while kept and not fits(kept):
            kept.pop()
        return _text({**whole, "models": kept})


def refused_report(error: SyncError) -> Report:
    """The report of a run that did not get as far as looking at a model."""
    return Report("", (ModelReport(name="", complete=False, revision="", reason=error.reason, message=error.message),))


def _text(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").decode()  # file names need not be text; this escape is JSON's too


def _as_is(model: ModelReport) -> dict[str, Any]:
    return model.to_json()


def _cut_messages(model: ModelReport) -> dict[str, Any]:
    message = model.message if len(model.message) <= 160 else model.message[:159] + "…"
    return replace(model, message=message).to_json()


def _essential(model: ModelReport) -> dict[str, Any]:
    dropped = ("revision", "filesTotal", "filesPresent") if model.complete else ("verifiedAt",)
    data = {key: value for key, value in _cut_messages(model).items() if value not in (None, "", {})}
    return {key: value for key, value in data.items() if key not in dropped}


def _reasons(model: ModelReport) -> dict[str, Any]:
    return _bare(model) if model.complete else _essential(model)


def _bare(model: ModelReport) -> dict[str, Any]:
    data: dict[str, Any] = {"name": model.name, "complete": model.complete}
    if model.reason:
        data["reason"] = model.reason
    if model.digest:
        data["digest"] = model.digest
    return data
