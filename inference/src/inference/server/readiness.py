"""Whether requests are accepted: loading, ready, draining or failed. /readyz shows it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from inference.generation import LoadProgress

State = Literal["loading", "ready", "draining", "failed"]


@dataclass(frozen=True, slots=True)
class ReadinessView:
    """The state at one moment."""

    state: State
    component: str | None = None
    percent: float | None = None
    failure: str | None = None

    @property
    def waiting_for(self) -> str | None:
        """What must happen before requests are accepted, for people."""
        if self.state == "loading":
            amount = "" if self.percent is None else f", {self.percent:.0f} % read"
            return f"loading {self.component or 'the engine'}{amount}"
        if self.state == "draining":
            return "nothing: the server is stopping"
        return self.failure


class Readiness:
    """Thread-safe. The server accepts requests while it is `ready`."""

    def __init__(self) -> None:
        self._view = ReadinessView("loading")
        self._lock = threading.Lock()

    def view(self) -> ReadinessView:
        return self._view

    @property
    def ready(self) -> bool:
        return self._view.state == "ready"

    def loading(self, progress: LoadProgress) -> None:
        total = progress.bytes_total
        percent = round(100 * progress.bytes_done / total, 1) if total > 0 else None
        self._move(ReadinessView("loading", progress.component, percent), unless=("draining", "failed"))

    def loaded(self) -> None:
        self._move(ReadinessView("ready"), unless=("draining", "failed"))

    def failed(self, reason: str) -> bool:
        """Whether this is the first reason, of a server that is not stopping already."""
        return self._move(ReadinessView("failed", failure=reason), unless=("draining", "failed"))

    def drain(self) -> None:
        self._move(ReadinessView("draining"))

    def _move(self, view: ReadinessView, unless: tuple[State, ...] = ()) -> bool:
        with self._lock:
            if self._view.state in unless:
                return False
            self._view = view
            return True
