"""Progress of a run: the only owner of its figures, fed by events, read by the report, the bar and the metrics.

Thread-safe. An event changes what is known of one model or of all; ``report`` puts it together at any moment.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from init_sync.core.errors import SyncError
from init_sync.core.reasons import Reason

if TYPE_CHECKING:
    from init_sync.core.model_check import ModelCheck
    from init_sync.core.receipt import Receipt, ReceiptFile
    from init_sync.core.report import ModelReport, Report
    from init_sync.core.requirement import Requirement
    from init_sync.core.spec import Manifest, Model

RATE_WINDOW_S = 15.0
SAMPLE_S = 0.5


class ModelProgress:
    """What is known of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.complete = False
        self.sizes: Mapping[str, int] = {}
        self.present: dict[str, int] = {}
        self.valid: set[str] = set()
        self.commit: str | None = None
        self.chosen: Mapping[str, str] = {}
        self.verified_at: str | None = None
        self.digest = ""
        self.reason: Reason | None = None
        self.message = ""
        self.damage: tuple[Reason, str] | None = None
        """What was found wrong with a model that had been complete."""
        self.failed = False
        """Whether this run said what is wrong: the first failure is the one that is reported."""

    def incomplete(self, reason: Reason | None, message: str) -> None:
        self.complete, self.reason, self.message = False, reason, message

    def report(self) -> ModelReport:
        from init_sync.core.report import ModelReport  # a warm start outside of a container needs no report

        present = sum(min(count, self.sizes.get(path, count)) for path, count in list(self.present.items()))
        return ModelReport(
            name=self.model.name,
            complete=self.complete,
            revision=self.model.revision,
            files_total=len(self.sizes),
            files_present=len(self.valid),
            bytes_total=sum(self.sizes.values()),
            bytes_present=max(0, present),
            commit=self.commit,
            chosen=dict(self.chosen),
            verified_at=self.verified_at,
            digest=(self.digest or None) if self.complete else None,
            reason=self.reason,
            message=self.message,
        )


class Progress:
    """All models of a run, and how fast bytes come."""

    def __init__(self, manifest: Manifest, clock: Callable[[], float] = time.monotonic) -> None:
        self.manifest = manifest
        self.models = {model.name: ModelProgress(model) for model in manifest.models}
        self.bytes_fetched = 0
        self.bytes_from_peers = 0
        self.bytes_verified = 0
        self.peers_left_out: dict[str, Reason] = {}
        self.hub_errors: dict[Reason, int] = {}
        self.volume_id: str | None = None
        self.bytes_unused: int | None = None
        self.activity = ""
        """What is being worked on, for progress lines."""
        self._clock = clock
        self._guard = threading.RLock()  # a signal handler reports from the main thread, whatever that was doing
        self._by_path: dict[str, list[ModelProgress]] = {}
        self._samples: deque[tuple[float, int]] = deque()

    def checked(self, checks: Mapping[str, ModelCheck]) -> None:
        """What was found on the volume."""
        with self._guard:
            for name, check in checks.items():
                found = self.models[name]
                found.complete, found.reason, found.message = check.complete, check.reason, check.message
                found.sizes, found.present, found.valid = check.sizes, dict(check.present), set(check.valid)
                found.commit, found.chosen = check.commit, check.chosen
                found.verified_at = check.receipt.verified_at if check.receipt else None
                found.digest = check.receipt.digest if check.receipt else ""
                found.damage = (check.reason, check.message) if check.reason and check.receipt else None

    def planned(self, requirements: Iterable[Requirement]) -> None:
        """What is required of models that are not complete."""
        with self._guard:
            self._by_path.clear()  # of a plan from another listing, which a peer lied about
            for requirement in requirements:
                found = self.models[requirement.model.name]
                found.failed = False
                found.sizes = {file.path: file.size for file in requirement.files}
                found.present, found.valid = {}, set()
                found.commit, found.chosen = requirement.commit, requirement.chosen
                for path in found.sizes:
                    self._by_path.setdefault(path, []).append(found)

    def to_fetch(self, name: str, missing: int, of: int) -> None:
        """From here on the report says what is left to do, not what was found at the beginning."""
        with self._guard:
            self.models[name].incomplete(Reason.FILE_MISSING, f"{missing} of {of} files to be fetched")

    def received(self, gained: int, label: str, from_peer: bool = False) -> None:
        """Bytes came from the hub or a peer that were not on the volume before."""
        with self._guard:
            self.activity = label
            self.bytes_fetched += gained
            self.bytes_from_peers += gained * from_peer
            now = self._clock()
            if not self._samples or now - self._samples[-1][0] >= SAMPLE_S:
                self._samples.append((now, self.bytes_fetched))
                while self._samples[0][0] < now - RATE_WINDOW_S:
                    self._samples.popleft()

    def present(self, paths: Iterable[str], count: int) -> None:
        """``count`` more bytes (fewer, when negative) of the files at ``paths`` are on the volume."""
        with self._guard:
            for path in paths:
                for model in self._by_path.get(path, ()):
                    model.present[path] = model.present.get(path, 0) + count

    def hashed(self, count: int) -> None:
        """Bytes were read back from the volume and hashed."""
        with self._guard:
            self.bytes_verified += count

    def verified(self, file: ReceiptFile) -> None:
        """A file is in place with the right content."""
        with self._guard:
            for model in self._by_path.get(file.path, ()):
                model.valid.add(file.path)
                model.present[file.path] = file.size

    def completed(self, name: str, receipt: Receipt) -> None:
        with self._guard:
            found = self.models[name]
            found.complete, found.reason, found.message = True, None, receipt.warning
            found.verified_at, found.digest = receipt.verified_at, receipt.digest

    def waiting(self, message: str) -> None:
        """Another process holds the lock of the volume."""
        with self._guard:
            for model in self._incomplete():
                model.incomplete(Reason.WAITING_FOR_LOCK, message)

    def failed(self, error: SyncError, paths: Iterable[str] | None = None) -> None:
        """An error of the models that need one of ``paths``, of the model that it names, or of all that are left."""
        with self._guard:
            for each in error.parts or (error,):
                concerned = None if paths is None else {id(model) for path in paths for model in self._by_path[path]}
                for model in self._incomplete():
                    its_own = each.model in (None, model.model.name) if concerned is None else id(model) in concerned
                    if its_own and not model.failed:
                        model.incomplete(*_with_damage(model, each))
                        model.failed = True

    def peer_left_out(self, peer: str, reason: Reason) -> None:
        with self._guard:
            self.peers_left_out[peer] = reason

    def hub_error(self, reason: Reason) -> None:
        with self._guard:
            self.hub_errors[reason] = self.hub_errors.get(reason, 0) + 1

    @property
    def bytes_total(self) -> int:
        return sum(sum(model.sizes.values()) for model in self.models.values())

    @property
    def complete(self) -> bool:
        return all(model.complete for model in self.models.values())

    def report(self) -> Report:
        from init_sync.core.report import Report

        with self._guard:
            models = tuple(model.report() for model in self.models.values())
            rate = self._rate()
            left = sum(model.bytes_total - model.bytes_present for model in models)
            return Report(
                cache=self.manifest.name,
                manifest=self.manifest.digest,
                volume_id=self.volume_id,
                bytes_unused=self.bytes_unused,
                models=models,
                bytes_fetched=self.bytes_fetched,
                bytes_from_peers=self.bytes_from_peers,
                bytes_verified=self.bytes_verified,
                bytes_per_second=int(rate),
                eta_seconds=round(left / rate) if rate >= 1 and left > 0 else None,
            )

    def _incomplete(self) -> list[ModelProgress]:
        return [model for model in self.models.values() if not model.complete]

    def _rate(self) -> float:
        now = self._clock()
        if not self._samples or now - self._samples[-1][0] > RATE_WINDOW_S:
            return 0.0
        since, before = self._samples[0]
        return (self.bytes_fetched - before) / (now - since) if now - since >= SAMPLE_S else 0.0


def _with_damage(model: ModelProgress, error: SyncError) -> tuple[Reason, str]:
    """Damage that cannot be repaired on this mount is what is wrong; another process may be able to write."""
    if model.damage is None or error.reason is not Reason.VOLUME_NOT_WRITABLE:
        return error.reason, error.message
    reason, message = model.damage
    return reason, f"{message}. It cannot be repaired from here: {error.message}"
