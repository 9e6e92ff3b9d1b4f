"""The one thread that uses the engine: takes a job, generates, records the outcome, takes the next.

It also decides what an exception of the engine means to the client (`failure_of`). After three unexpected failures in
a row the worker is failing, /healthz reports it, and the kubelet restarts the container (a CUDA context does not
recover from some errors).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from inference.generation import Cancelled, EngineLost, InvalidInput, Progress, VideoEngine
from inference.media import mp4
from inference.server.job_queue import JobQueue
from inference.server.jobs import ENGINE_LOST, Clip, Job, JobError, Status
from inference.server.metrics import ServerMetrics
from inference.server.records import record_of
from inference.server.scratch import Scratch
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

FAILURES_BEFORE_FAILING = 3
SAMPLING = "sampling"
OUT_OF_MEMORY = "out_of_memory"
GENERATION_FAILED = "generation_failed"


def failure_of(error: Exception) -> JobError:
    """The error for the client. Only the message of `InvalidInput` is written for users; others stay in the log."""
    if isinstance(error, InvalidInput):
        return JobError(error.code, str(error), error.field)
    if _out_of_memory(error) or _out_of_memory(error.__cause__):
        return JobError(OUT_OF_MEMORY, "The device ran out of memory; ask for a smaller size or a shorter video.")
    if isinstance(error, EngineLost):
        return ENGINE_LOST
    return JobError(GENERATION_FAILED, "The engine failed to generate the video; the server's log says why.")


def _out_of_memory(error: BaseException | None) -> bool:
    """Torch's own class is recognised by its name: the server does not import torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


class StepClock:
    """Turns the engine's progress into step times: from one step's report to the next, or to what follows."""

    def __init__(self, observe: Callable[[float], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._observe = observe
        self._clock = clock
        self._last: tuple[Progress, float] | None = None

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if self._last is not None:
            before, then = self._last
            if before.stage == SAMPLING and progress.window == before.window and progress.step == before.step + 1:
                self._observe(now - then)
        self._last = (progress, now)


class GenerationWorker:
    """Runs until the queue is closed."""

    def __init__(
        self,
        engine: VideoEngine,
        queue: JobQueue,
        scratch: Scratch,
        metrics: ServerMetrics,
        on_lost: Callable[[Job, EngineLost], object] = lambda *_: None,
    ) -> None:
        self._engine = engine
        self._on_lost = on_lost
        self._queue = queue
        self._scratch = scratch
        self._metrics = metrics
        self._failures = 0
        self._lost: EngineLost | None = None
        self.last_took_s = 0.0
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)

    @property
    def failing(self) -> bool:
        """True once only a restart can help."""
        return self._failures >= FAILURES_BEFORE_FAILING or (self._thread.ident is not None and self._died())

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread, which comes when the queue is closed and the engine has returned."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _died(self) -> bool:
        return not self._thread.is_alive() and not self._queue.closed

    def _run(self) -> None:
        while (job := self._queue.take()) is not None:
            self._metrics.queue_wait_seconds.observe((job.started_at or job.created_at) - job.created_at)
            log.info("video started", extra=fields(id=job.id, seconds=job.request.plan.seconds))
            began = time.monotonic()
            outcome = self._generate(job)
            part = None if isinstance(outcome, Clip) else self._part(job)
            ended = self._queue.finish(job.id, outcome, part)
            self._record(job, ended, time.monotonic() - began)
            if self._lost:
                self._on_lost(job, self._lost)
                return

    def _generate(self, job: Job) -> Clip | JobError | None:
        steps = StepClock(self._metrics.step_seconds.observe)

        def on_progress(progress: Progress) -> None:
            steps(progress)
            self._queue.advance(job.id, progress.fraction)

        output = self._scratch.result(job.id)
        try:
            self._engine.generate(
                job.request.generation,
                output,
                on_progress=on_progress,
                cancelled=lambda: not self._queue.in_progress(job.id),
            )
            clip = _measured(output)
        except Cancelled:
            return None
        except Exception as error:
            return self._failed(job, error)
        self._failures = 0
        return clip

    def _part(self, job: Job) -> Clip | None:
        """What the engine made before it failed."""
        try:
            return _measured(self._scratch.result(job.id))
        except Exception:  # there is none, or not even a part of it can be used
            return None

    def _failed(self, job: Job, error: Exception) -> JobError:
        failure = failure_of(error)
        if failure.code == GENERATION_FAILED:
            self._failures += 1
        if isinstance(error, EngineLost):
            self._lost = error
        log.error("generation failed", extra=fields(id=job.id, code=failure.code), exc_info=error)
        return failure

    def _record(self, job: Job, ended: Job | None, took_s: float) -> None:
        """Update files and metrics after a job has ended. None: it was deleted meanwhile."""
        outcome = ended.outcome if ended is not None else Status.CANCELLED.value
        kept = {} if ended is None or ended.part is None else {"partial_seconds": ended.part.seconds}
        log.info("video %s", outcome, extra=fields(id=job.id, took_s=round(took_s, 1), **kept))
        self._metrics.requests.labels(outcome).inc()
        if ended is None or ended.clip is None:
            self._scratch.remove(job.id)
            return
        if ended.status is Status.COMPLETED:
            self.last_took_s = took_s
            self._metrics.generation_seconds.observe(took_s)
            self._metrics.video_seconds.inc(ended.clip.seconds)
        self._scratch.keep_result_only(job.id)
        if text := record_of(ended):
            self._scratch.record(job.id, text)
        for dropped in self._queue.sweep():
            self._scratch.remove(dropped.id)


def _measured(video: Path) -> Clip:
    return Clip(*mp4.measure(video), video.stat().st_size)
