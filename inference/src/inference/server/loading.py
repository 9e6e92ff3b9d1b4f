"""The way to ready: which component is being loaded, how far it is, and whether it went wrong.

`Gate` is the state that /readyz shows; `EngineLoader` is the thread that moves it from loading to ready or failed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from inference.generation import LoadProgress, VideoEngine
from inference.server.logs import quoted
from inference.server.metrics import ServerMetrics

log = logging.getLogger(__name__)

State = Literal["loading", "ready", "draining", "failed"]


@dataclass(frozen=True, slots=True)
class GateView:
    """What the gate shows at one moment."""

    state: State
    component: str | None = None
    percent: float | None = None
    failure: str | None = None

    @property
    def waiting_for(self) -> str | None:
        """In words, what has to happen before requests are taken."""
        if self.state == "loading":
            amount = "" if self.percent is None else f", {self.percent:.0f} % read"
            return f"loading {self.component or 'the engine'}{amount}"
        if self.state == "draining":
            return "nothing: the server is stopping"
        return self.failure


class Gate:
    """Thread-safe. The server takes requests while it is `ready`."""

    def __init__(self) -> None:
        self._view = GateView("loading")
        self._lock = threading.Lock()

    def view(self) -> GateView:
        return self._view

    @property
    def ready(self) -> bool:
        return self._view.state == "ready"

    def loading(self, progress: LoadProgress) -> None:
        total = progress.bytes_total
        percent = round(100 * progress.bytes_done / total, 1) if total > 0 else None
        self._move(GateView("loading", progress.component, percent), unless=("draining", "failed"))

    def open(self) -> None:
        self._move(GateView("ready"), unless=("draining", "failed"))

    def fail(self, reason: str) -> None:
        self._move(GateView("failed", failure=reason), unless=("draining",))

    def drain(self) -> None:
        self._move(GateView("draining"))

    def _move(self, view: GateView, unless: tuple[State, ...] = ()) -> None:
        with self._lock:
            if self._view.state not in unless:
                self._view = view


class EngineLoader:
    """Loads the engine in a thread, so that /healthz and /readyz answer meanwhile."""

    def __init__(
        self,
        load: Callable[[Callable[[LoadProgress], None]], VideoEngine],
        gate: Gate,
        metrics: ServerMetrics,
        on_loaded: Callable[[VideoEngine], None],
        on_failed: Callable[[], object],
    ) -> None:
        self._load = load
        self._gate = gate
        self._metrics = metrics
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._bytes: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="engine-loader", daemon=True)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            engine = self._load(self._progress)
        except Exception as error:
            log.exception("event=load_failed")
            self._gate.fail(f"loading the model: {' '.join(str(error).split()) or type(error).__name__}")
            self._on_failed()
            return
        seconds = time.monotonic() - began
        self._metrics.load_seconds.set(seconds)
        read = sum(self._bytes.values())
        log.info(
            "event=loaded seconds=%.1f bytes=%d gb_per_second=%.2f", seconds, read, read / 1e9 / max(seconds, 1e-9)
        )
        self._on_loaded(engine)

    def _progress(self, progress: LoadProgress) -> None:
        if progress.component not in self._bytes:
            log.info("event=loading component=%s bytes=%d", quoted(progress.component), progress.bytes_total)
        self._bytes[progress.component] = progress.bytes_done
        self._metrics.load_bytes.labels(progress.component).set(progress.bytes_done)
        self._gate.loading(progress)
