"""Loading of the engine, in a thread of its own, so that /healthz and /readyz respond meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from inference.generation import LoadProgress, VideoEngine, one_line
from inference.server.metrics import ServerMetrics
from inference.server.readiness import Readiness
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)


class EngineLoader:
    """Loads the engine once, and reports its progress."""

    def __init__(
        self,
        load: Callable[[Callable[[LoadProgress], None]], VideoEngine],
        readiness: Readiness,
        metrics: ServerMetrics,
        on_loaded: Callable[[VideoEngine], None],
        on_failed: Callable[[str], object],
    ) -> None:
        self._load = load
        self._readiness = readiness
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
            log.exception("loading failed")
            self._on_failed(f"loading the model: {one_line(error)}")
            return
        seconds = time.monotonic() - began
        self._metrics.load_seconds.set(seconds)
        read = sum(self._bytes.values())
        rate = round(read / 1e9 / max(seconds, 1e-9), 2)
        log.info("loaded", extra=fields(seconds=round(seconds, 1), bytes=read, gb_per_second=rate))
        self._on_loaded(engine)

    def _progress(self, progress: LoadProgress) -> None:
        if progress.component not in self._bytes:
            log.info("loading", extra=fields(component=progress.component, bytes=progress.bytes_total))
        self._bytes[progress.component] = progress.bytes_done
        self._metrics.load_bytes.labels(progress.component).set(progress.bytes_done)
        self._readiness.loading(progress)
