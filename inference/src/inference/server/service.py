"""The parts of one server, put together: the board, its files, the gate, the worker, the figures.

HTTP handlers and the process talk to the server through this object; it knows neither.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from inference.generation import VideoEngine
from inference.server.board import JobBoard
from inference.server.config import ServerConfig
from inference.server.draft import DraftRules
from inference.server.engines import LoadEngine
from inference.server.loading import EngineLoader, Gate
from inference.server.metrics import ServerMetrics
from inference.server.multipart import UploadLimits
from inference.server.prober import Prober
from inference.server.retention import Retention
from inference.server.scratch import Scratch
from inference.server.worker import GenerationWorker

log = logging.getLogger(__name__)

RETRY_AFTER_S = (1, 120)
"""OpenAI's clients obey a Retry-After of up to two minutes and give up on a longer one."""


class Service:
    """One server without its socket."""

    def __init__(self, config: ServerConfig, load: LoadEngine, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.started_at = int(clock())
        self.gate = Gate()
        self.metrics = ServerMetrics()
        self.scratch = Scratch(config.scratch)
        self.rules = DraftRules(config.model, config.max_seconds)
        self.prober = Prober(config.media_limits)
        self.limits = UploadLimits(config.max_upload_bytes, config.upload_timeout_s)
        retention = Retention(config.result_ttl_s, config.max_results, config.results_budget_bytes)
        self.board = JobBoard(places=config.places, retention=retention, clock=clock)
        self.worker: GenerationWorker | None = None
        self._load = load
        self._loader: EngineLoader | None = None
        self._watch()

    def _watch(self) -> None:
        watch, board = self.metrics.watch, self.board
        watch("multitalk_queue_depth", "Videos that wait for the device", lambda: board.counts().waiting)
        watch("multitalk_running", "1 while the device generates", lambda: board.counts().running)
        watch(
            "multitalk_results_bytes", "Finished videos on the scratch directory", lambda: board.counts().result_bytes
        )
        self.metrics.ready.set_function(lambda: float(self.gate.ready))

    def start(self, on_load_failed: Callable[[], object]) -> None:
        """Begin to load the engine; requests are taken once it is there."""

        def loaded(engine: VideoEngine) -> None:
            self.worker = GenerationWorker(engine, self.board, self.scratch, self.metrics)
            self.worker.start()
            self.gate.open()

        load, config = self._load, self.config
        self._loader = EngineLoader(
            lambda progress: load(config, progress), self.gate, self.metrics, loaded, on_load_failed
        )
        self._loader.start()

    @property
    def failing(self) -> bool:
        """Only a restart can help."""
        return self.gate.view().state == "failed" or (self.worker is not None and self.worker.failing)

    @property
    def retry_after_s(self) -> int:
        """A place becomes free when the running video is finished: about as long as the last one took."""
        least, most = RETRY_AFTER_S
        return max(least, min(most, math.ceil(self.worker.last_took_s if self.worker else least)))

    def sweep(self) -> None:
        """Remove the videos whose time is over."""
        for job in self.board.sweep():
            log.info("event=expired id=%s status=%s", job.id, job.status)
            self.scratch.remove(job.id)

    def refuse_new(self) -> None:
        """Begin to stop: nothing new is taken on, and what waits fails at once so that its clients can go elsewhere."""
        self.gate.drain()
        for job in self.board.close():
            log.info("event=%s id=%s", job.outcome, job.id)
            self.metrics.requests.labels(job.outcome).inc()
            self.scratch.remove(job.id)

    def engine_left(self, timeout_s: float) -> bool:
        """Has every thread come out of the engine? False while it is still being loaded or does not let go."""
        if self._loader is not None and self._loader.running:
            return False
        return self.worker is None or self.worker.join(timeout_s)
