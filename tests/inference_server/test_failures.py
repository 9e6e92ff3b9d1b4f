"""What an engine that fails means to clients, to the next job and to the kubelet."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.generation import EngineLost, GenerationRequest, InvalidInput, Progress
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, error_of, running
from support.waiting import eventually


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


def wrapped(cause: Exception) -> Exception:
    """As an engine raises it that has more to say."""
    error = RuntimeError("generating: choose a smaller resolution")
    error.__cause__ = cause
    return error


class FailingEngine(DrawingEngine):
    """Fails as often as it is told to, then draws."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self._failures = list(failures)

    def generate(
        self,
        request: GenerationRequest,
        output: Path,
        *,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        if self._failures:
            output.with_suffix(".partial").write_bytes(b"half a video")
            raise self._failures.pop(0)
        super().generate(request, output, on_progress=on_progress, cancelled=cancelled)


@pytest.mark.parametrize(
    ("failure", "code", "param"),
    [
        (InvalidInput("box", "of person 2 is too small"), "invalid_input", "box"),
        (InvalidInput("audio", "no words"), "invalid_input", "audio"),
        (InvalidInput("input_reference", "no face"), "invalid_input", "input_reference"),
        (OutOfMemoryError("CUDA out of memory"), "out_of_memory", None),
        (wrapped(OutOfMemoryError("CUDA out of memory")), "out_of_memory", None),
        (MemoryError(), "out_of_memory", None),
        (RuntimeError("secret detail"), "generation_failed", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_failure_of_the_engine_fails_that_video_and_no_other(
    tmp_path: Path, failure: Exception, code: str, param: str | None
) -> None:
    with running(config_for(tmp_path), FailingEngine(failure)) as server:
        first, second = server.create(), server.create()
        failed = server.wait_status(first, "failed")
        assert (failed["error"]["code"], failed["error"]["param"]) == (code, param)
        assert "secret" not in failed["error"]["message"]
        server.wait_status(second, "completed")
        assert not server.service.scratch.folder(first).exists()
        assert server.http.get("/healthz").status_code == 200
        assert server.metric("multitalk_requests_total", status="failed") == 1


def test_an_engine_that_writes_nothing_fails_its_video(tmp_path: Path) -> None:
    class Idle(DrawingEngine):
        def generate(self, *_: object, **__: object) -> None:
            pass

    with running(config_for(tmp_path), Idle()) as server:
        assert server.wait_status(server.create(), "failed")["error"]["code"] == "generation_failed"


def test_an_engine_that_is_lost_fails_its_video_and_ends_the_server(tmp_path: Path) -> None:
    with running(config_for(tmp_path, linger_s=5.0), FailingEngine(EngineLost("rank 1: out of reach"))) as server:
        lost = server.create()
        failed = server.wait_status(lost, "failed")
        assert failed["error"]["code"] == "engine_lost"
        assert "out of reach" not in failed["error"]["message"]
        server.join()
        assert server.exit_code == 1
        assert server.service.readiness.view().failure == "rank 1: out of reach"


def fail_times(server: RunningServer, times: int) -> None:
    for _ in range(times):
        server.wait_status(server.create(), "failed")


def test_three_unexpected_failures_in_a_row_make_the_server_unhealthy(tmp_path: Path) -> None:
    with running(config_for(tmp_path), FailingEngine(*[RuntimeError("broken")] * 3)) as server:
        fail_times(server, 2)
        assert server.http.get("/healthz").status_code == 200
        fail_times(server, 1)
        answer = server.http.get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (503, "failing")


def test_inputs_that_cannot_be_used_do_not_make_the_server_unhealthy(tmp_path: Path) -> None:
    with running(config_for(tmp_path), FailingEngine(*[InvalidInput("audio", "no")] * 4)) as server:
        fail_times(server, 4)
        assert server.http.get("/healthz").status_code == 200


def test_a_video_that_succeeds_forgives_the_failures_before_it(tmp_path: Path) -> None:
    broken = [RuntimeError("broken")] * 2
    with running(config_for(tmp_path), FailingEngine(*broken)) as server:
        fail_times(server, 2)
        server.wait_status(server.create(), "completed")
        assert not server.service.failing


def test_an_error_in_the_server_is_a_500_in_the_error_format(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(server.service.queue, "get", broken)
    answer = server.http.get("/v1/videos/video_0")
    assert answer.status_code == 500
    assert (error_of(answer)["type"], error_of(answer)["code"]) == ("server_error", "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"]


def test_an_error_in_the_server_gives_the_place_back_and_is_counted(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> Path:
        raise PermissionError("secret detail")

    monkeypatch.setattr(server.service.scratch, "create", broken)
    assert server.post().status_code == 500
    assert server.service.queue.counts().unfinished == 0
    assert server.metric("multitalk_requests_total", status="failed") == 1


def test_a_full_disk_is_503_and_says_when_to_try_again(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: str) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(server.service.scratch, "create", full)
    answer = server.post()
    assert (answer.status_code, error_of(answer)["code"]) == (503, "scratch_full")
    assert int(answer.headers["retry-after"]) > 0


def test_videos_that_a_stopping_server_gives_up_do_not_count_as_failures_of_its_engine(
    tmp_path: Path, gate: ThreadGate
) -> None:
    with running(config_for(tmp_path, grace_s=0.0, linger_s=5.0), DrawingEngine(gate)) as server:
        running_one, waiting = server.create(steps="50"), server.create()
        gate.wait_for_arrival(1)
        server.ask_to_stop()
        assert server.wait_status(waiting, "failed")["error"]["code"] == "server_shutting_down"
        eventually(lambda: not server.service.queue.in_progress(running_one), "the video is not wanted any more")
        gate.open()
        server.join()
        assert server.metric("multitalk_requests_total", status="interrupted") == 2
        assert server.metric("multitalk_requests_total", status="failed") == 0
