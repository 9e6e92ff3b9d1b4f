"""The rules of jobs, queue and retention, without a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inference.generation import GenerationRequest, Speaker, VideoPlan
from inference.server.job_queue import JobQueue, QueueClosed, QueueFull
from inference.server.jobs import SHUTTING_DOWN, CheckedRequest, Clip, Job, JobError, Status
from inference.server.retention import Retention, surplus

PLAN = VideoPlan(832, 480, 25, 1.0)
REQUEST = CheckedRequest(GenerationRequest("p", Path("image"), (Speaker(Path("voice")),)), "multitalk", PLAN)
RULE = Retention(ttl_s=10, max_results=3, max_bytes=100)
ERROR = JobError("generation_failed", "no")


def clip(size_bytes: int = 10) -> Clip:
    return Clip(64, 48, 1.0, size_bytes)


def job(status: Status = Status.QUEUED) -> Job:
    queued = Job("video_1", REQUEST, created_at=0)
    match status:
        case Status.IN_PROGRESS:
            return queued.started(1)
        case Status.COMPLETED:
            return queued.started(1).completed(clip(), 2, 10)
        case Status.FAILED:
            return queued.started(1).failed(ERROR, 2, 10)
        case Status.CANCELLED:
            return queued.cancelled(2, 10)
    return queued


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_a_finished_job_never_changes_again(status: Status) -> None:
    done = job(status)
    assert done.started(5) == done.advanced(0.5) == done.completed(clip(), 5, 10) == done
    assert done.failed(SHUTTING_DOWN, 5, 10) == done.cancelled(5, 10) == done


def test_only_a_job_on_the_device_can_complete_or_advance() -> None:
    assert job().completed(clip(), 5, 10) == job().advanced(0.5) == job()


def test_progress_never_goes_back_nor_reaches_100_before_the_end() -> None:
    running = job(Status.IN_PROGRESS)
    assert running.advanced(0.5).advanced(0.2).progress == 50
    assert running.advanced(1.0).progress == 99
    assert running.advanced(1.0).completed(clip(), 5, 10).progress == 100


def done(number: int, *, at: float, size: int = 10) -> Job:
    return replace(job(Status.COMPLETED), id=f"video_{number}", finished_at=at, expires_at=at + 10, clip=clip(size))


@pytest.mark.parametrize(
    ("jobs", "now", "dropped"),
    [
        ([], 0, []),
        ([done(1, at=0), done(2, at=5)], 9, []),
        ([done(1, at=0), done(2, at=5)], 10, ["video_1"]),
        ([done(n, at=n) for n in range(5)], 5, ["video_1", "video_0"]),
        ([done(1, at=0, size=60), done(2, at=1, size=60)], 5, ["video_1"]),
        ([done(1, at=0, size=500)], 5, []),
        ([done(1, at=0, size=10), done(2, at=1, size=500)], 5, ["video_1"]),
    ],
    ids=["nothing", "all fit", "expired", "too many", "too much", "one larger than the budget", "newest stays"],
)
def test_retention_drops(jobs: list[Job], now: float, dropped: list[str]) -> None:
    assert [job.id for job in surplus(jobs, RULE, now)] == dropped


@pytest.fixture
def queue() -> JobQueue:
    return JobQueue(max_jobs=2, retention=RULE, clock=lambda: 100.0)


def submitted(queue: JobQueue) -> str:
    return queue.submit(queue.reserve(), REQUEST).id


def test_a_reservation_counts_until_it_is_released(queue: JobQueue) -> None:
    first = queue.reserve()
    queue.reserve()
    with pytest.raises(QueueFull):
        queue.reserve()
    queue.release(first)
    queue.reserve()


def test_a_cancelled_job_counts_until_the_engine_returns(queue: JobQueue) -> None:
    running = submitted(queue)
    queue.take()
    assert queue.discard(running) is not None
    queue.reserve()
    with pytest.raises(QueueFull):
        queue.reserve()
    queue.finish(running, None)
    queue.reserve()


def test_an_engine_that_completes_a_cancelled_job_does_not_bring_it_back(queue: JobQueue) -> None:
    running = submitted(queue)
    queue.take()
    queue.discard(running)
    ended = queue.finish(running, clip())
    assert ended is not None
    assert (ended.status, ended.clip) == (Status.CANCELLED, None)


def test_a_deleted_job_may_still_be_finished_by_the_engine(queue: JobQueue) -> None:
    running = submitted(queue)
    queue.take()
    first, second = queue.discard(running), queue.discard(running)
    assert first is not None
    assert second is not None
    assert (first.files_free, second.files_free) == (False, False)
    assert queue.finish(running, clip()) is None


def test_a_closed_queue_fails_what_waits_and_accepts_nothing(queue: JobQueue) -> None:
    running, waiting = submitted(queue), submitted(queue)
    queue.take()
    assert [job.id for job in queue.close()] == [waiting]
    failed = queue.get(waiting)
    assert failed is not None
    assert (failed.status, failed.error) == (Status.FAILED, SHUTTING_DOWN)
    assert queue.in_progress(running)
    with pytest.raises(QueueClosed):
        queue.reserve()
    assert queue.take() is None


def test_an_upload_that_ends_after_the_queue_was_closed_is_not_accepted(queue: JobQueue) -> None:
    reserved = queue.reserve()
    queue.close()
    with pytest.raises(QueueClosed):
        queue.submit(reserved, REQUEST)
    assert queue.counts().unfinished == 0


def test_ids_sort_by_age_however_fast_they_are_made() -> None:
    queue = JobQueue(max_jobs=500, retention=RULE)
    ids = [queue.reserve() for _ in range(500)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 500
