"""The parts of one server, put together: queue, files, readiness, worker, metrics.

HTTP handlers and the process use the server through this object; it knows neither.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from inference.generation import EngineLost, GenerationRequest, MediaInfo, VideoEngine, VideoPlan
from inference.server.api_keys import read_keys
from inference.server.config import ServerConfig
from inference.server.engines import LoadEngine
from inference.server.job_queue import JobQueue
from inference.server.jobs import ENGINE_LOST, Job
from inference.server.loading import EngineLoader
from inference.server.metrics import ServerMetrics
from inference.server.multipart import UploadLimits
from inference.server.prober import Prober
from inference.server.ranks import Ranks
from inference.server.readiness import Readiness
from inference.server.records import read_record
from inference.server.request import RequestRules
from inference.server.retention import Retention
from inference.server.scratch import Scratch
from inference.server.waiting import retry_after_s
from inference.server.worker import GenerationWorker
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

RANK_ENDS_WITHIN_S = 2.0
"""A connection that breaks is noticed before the end of the process that had it."""


class Service:
    """One server without its socket."""

    def __init__(
        self,
        config: ServerConfig,
        load: LoadEngine,
        clock: Callable[[], float] = time.time,
        ranks: Ranks | None = None,
    ) -> None:
        self.config = config
        self.ranks = ranks or Ranks()
        self.ranks.on_ended = self.lost
        self.last_failed: str | None = None
        """The video that was being made when the engine was lost."""
        self.started_at = int(clock())
        self.api_keys = read_keys(config.api_key_file)
        self.readiness = Readiness()
        self.metrics = ServerMetrics()
        self.scratch = Scratch(config.scratch)
        self.rules = RequestRules(config.model, config.sampling)
        self.prober = Prober(config.media_limits)
        self.limits = UploadLimits(config.max_upload_bytes, config.upload_timeout_s)
        retention = Retention(config.result_ttl_s, config.max_results, config.results_budget_bytes)
        self.queue = JobQueue(max_jobs=config.max_jobs, retention=retention, clock=clock)
        self.worker: GenerationWorker | None = None
        self._load = load
        self._clock = clock
        self._loader: EngineLoader | None = None
        self._engine: VideoEngine | None = None
        self._on_failed: Callable[[], object] = lambda: None
        self._add_gauges()

    def _add_gauges(self) -> None:
        gauge, queue = self.metrics.gauge, self.queue
        gauge("multitalk_queue_depth", "Videos that wait for the device", lambda: queue.counts().waiting)
        gauge("multitalk_running", "1 while the device generates", lambda: queue.counts().running)
        gauge(
            "multitalk_results_bytes",
            "Size of the finished videos on the scratch directory",
            lambda: queue.counts().result_bytes,
        )
        self.metrics.ready.set_function(lambda: float(self.readiness.ready))

    def start(self, on_failed: Callable[[], object]) -> None:
        """Find former results and begin to load the engine; requests are accepted once it is loaded.

        `on_failed` is called, in any thread, when the engine cannot be loaded or is lost.
        """
        self._on_failed = on_failed
        read = partial(read_record, now=self._clock(), ttl_s=self.config.result_ttl_s)
        self.queue.restore(found := self.scratch.recover(read))
        if found:
            log.info("former videos found", extra=fields(videos=len(found)))
        self.sweep()

        def loaded(engine: VideoEngine) -> None:
            self._engine = engine
            self.rules = replace(self.rules, clips=engine.takes_clips)
            self.worker = GenerationWorker(engine, self.queue, self.scratch, self.metrics, self._lost_by_worker)
            self.worker.start()
            self.readiness.loaded()

        load, config = self._load, self.config
        self._loader = EngineLoader(
            lambda progress: load(config, progress), self.readiness, self.metrics, loaded, self._load_failed
        )
        self._loader.start()

    def lost(self, reason: str, video_id: str | None = None) -> None:
        """Fail the running video, and stop: the engine cannot go on."""
        video_id = video_id or self.queue.running()
        self.queue.abort_running(ENGINE_LOST)
        if self.readiness.failed(reason):
            log.error("engine lost", extra=fields(reason=reason, running=video_id or "none"))
            self.last_failed = video_id
            self._on_failed()

    def _lost_by_worker(self, job: Job, error: EngineLost) -> None:
        self.lost(self.ranks.ended(RANK_ENDS_WITHIN_S) or str(error), job.id)

    def _load_failed(self, reason: str) -> None:
        if self.readiness.failed(self.ranks.ended(RANK_ENDS_WITHIN_S) or reason):
            self._on_failed()

    def plan_video(self, request: GenerationRequest, media: MediaInfo) -> VideoPlan:
        """What the engine would make; requests are accepted only once it is there."""
        assert self._engine is not None
        return self._engine.plan_video(request, media)

    @property
    def failing(self) -> bool:
        """Only a restart can help."""
        return self.readiness.view().state == "failed" or (self.worker is not None and self.worker.failing)

    @property
    def retry_after_s(self) -> int:
        """When the queue has room again. OpenAI's clients obey up to two minutes, and give up on a longer time."""
        running = self.queue.running()
        job = self.queue.get(running) if running else None
        last_took_s = self.worker.last_took_s if self.worker else 0.0
        return retry_after_s(job, last_took_s, self.limits.stall_s, self._clock())

    def sweep(self) -> None:
        """Remove expired videos."""
        for job in self.queue.sweep():
            log.info("video expired", extra=fields(id=job.id, status=job.status))
            self.scratch.remove(job.id)

    def refuse_new(self) -> None:
        """Begin to stop: nothing new is accepted, and waiting jobs fail at once so that clients can try elsewhere."""
        if not self.readiness.view().failure:
            self.readiness.drain()
        for job in self.queue.close():
            log.info("video %s", job.outcome, extra=fields(id=job.id))
            self.metrics.requests.labels(job.outcome).inc()
            self.scratch.remove(job.id)

    def engine_left(self, timeout_s: float) -> bool:
        """Whether no thread is inside the engine; False while it is still being loaded or does not return."""
        if self._loader is not None and self._loader.running:
            return False
        return self.worker is None or self.worker.join(timeout_s)
