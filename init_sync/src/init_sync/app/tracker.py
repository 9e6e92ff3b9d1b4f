"""The state of a run, told by the threads that work and read by those that report.

One ``ModelState`` for each model; ``report`` puts them together at any moment.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from init_sync.core.errors import SyncError
from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt
from init_sync.core.spec import Manifest, Model

if TYPE_CHECKING:
    from init_sync.core.report import ModelReport, Report

RATE_WINDOW_S = 15.0
SAMPLE_S = 0.5


class ModelState:
    """What is known about one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.complete = False
        self.sizes: dict[str, int] = {}
        """Bytes by path of every file that it needs, as far as that is known."""
        self.present: dict[str, int] = {}
        """Bytes by path of what is on the volume: all of a verified file, some of a partial one."""
        self.whole: set[str] = set()
        self.commit: str | None = None
        self.chosen: Mapping[str, str] = {}
        self.verified_at: str | None = None
        self.reason: Reason | None = None
        self.message = ""

    def take_receipt(self, receipt: Receipt, whole: Iterable[str]) -> None:
        self.sizes = {file.path: file.size for file in receipt.files}
        self.whole = set(whole)
        self.present = {path: self.sizes[path] for path in self.whole}
        self.commit = receipt.commit
        self.chosen = receipt.chosen
        self.verified_at = receipt.verified_at

    def problem(self, reason: Reason | None, message: str) -> None:
        self.complete = False
        self.reason = reason
        self.message = message

    def completed(self) -> None:
        self.complete = True
        self.reason = None
        self.message = ""

    def report(self) -> ModelReport:
        from init_sync.core.report import ModelReport  # a warm start outside of a container needs no report

        present = sum(min(count, self.sizes.get(path, count)) for path, count in list(self.present.items()))
        return ModelReport(
            name=self.model.name,
            complete=self.complete,
            revision=self.model.revision,
            files_total=len(self.sizes),
            files_present=len(self.whole),
            bytes_total=sum(self.sizes.values()),
            bytes_present=max(0, present),
            commit=self.commit,
            chosen=dict(self.chosen),
            verified_at=self.verified_at,
            reason=self.reason,
            message=self.message,
        )


class Tracker:
    """All models of a run, and how fast bytes come. Thread-safe."""

    def __init__(self, manifest: Manifest, clock: Callable[[], float] = time.monotonic) -> None:
        self.manifest = manifest
        self.states = {model.name: ModelState(model) for model in manifest.models}
        self.bytes_fetched = 0
        self.bytes_verified = 0
        """Read back from the volume and hashed."""
        self.hub_errors: dict[Reason, int] = {}
        self.volume_id: str | None = None
        self.activity = ""
        """What is being worked on, for progress lines."""
        self._clock = clock
        self._guard = threading.RLock()  # a signal handler reports from the main thread, whatever that was doing
        self._told: list[SyncError] = []
        self._samples: deque[tuple[float, int]] = deque()

    def fetched(self, count: int) -> None:
        with self._guard:
            self.bytes_fetched += count
            now = self._clock()
            if not self._samples or now - self._samples[-1][0] >= SAMPLE_S:
                self._samples.append((now, self.bytes_fetched))
                while self._samples[0][0] < now - RATE_WINDOW_S:
                    self._samples.popleft()

    def verified(self, count: int) -> None:
        with self._guard:
            self.bytes_verified += count

    def present(self, places: Iterable[str], count: int) -> None:
        """``count`` more bytes (fewer, when negative) of the files at ``places`` are on the volume."""
        with self._guard:
            for state in self.states.values():
                for path in places:
                    if path in state.sizes:
                        state.present[path] = state.present.get(path, 0) + count

    def fail(self, error: SyncError) -> None:
        """Put an error on the model it concerns, or on every model that is not complete."""
        with self._guard:
            self._told.append(error)
            for state in self.states.values():
                if not state.complete and error.model in (None, state.model.name):
                    state.problem(error.reason, error.message)

    def fail_for(self, places: Iterable[str], error: SyncError) -> None:
        """Put an error on the models that need a file at one of these places."""
        with self._guard:
            wanted = set(places)
            for state in self.states.values():
                if not state.complete and not wanted.isdisjoint(state.sizes):
                    state.problem(error.reason, error.message)
                    self._told.append(error)

    def tell(self, error: SyncError) -> None:
        """What ended the run, unless the models it concerns have been told already."""
        for each in error.parts or (error,):
            if each not in self._told:
                self.fail(each)

    def hub_error(self, reason: Reason) -> None:
        with self._guard:
            self.hub_errors[reason] = self.hub_errors.get(reason, 0) + 1

    def report(self) -> Report:
        from init_sync.core.report import Report

        with self._guard:
            models = tuple(state.report() for state in self.states.values())
            rate = self._rate()
            left = sum(model.bytes_total - model.bytes_present for model in models)
            return Report(
                cache=self.manifest.name,
                manifest=self.manifest.digest,
                volume_id=self.volume_id,
                models=models,
                bytes_fetched=self.bytes_fetched,
                bytes_verified=self.bytes_verified,
                bytes_per_second=int(rate),
                eta_seconds=round(left / rate) if rate >= 1 and left > 0 else None,
            )

    def _rate(self) -> float:
        now = self._clock()
        if not self._samples or now - self._samples[-1][0] > RATE_WINDOW_S:
            return 0.0
        since, before = self._samples[0]
        return (self.bytes_fetched - before) / (now - since) if now - since >= SAMPLE_S else 0.0
