"""What was made of a video before it failed is kept, and nothing of one that was cancelled."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.generation import Cancelled, GenerationRequest, Progress
from inference.media.limits import DEFAULT_LIMITS
from inference.media.mp4 import Mp4Writer
from inference.media.soundtrack import mix
from inference.server.scratch import RECORD
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, error_of, running
from inference_server.media import decode
from support.clock import Clock
from support.waiting import eventually

SILENCE = mix([], 50, DEFAULT_LIMITS)
MADE = 10
MADE_SECONDS = 0.4


class WindowedEngine(DrawingEngine):
    """Makes some frames, waits at its gate, then fails or is cancelled."""

    def __init__(self, gate: ThreadGate | None = None, failure: Exception | None = None, frames: int = MADE) -> None:
        super().__init__()
        self._at = gate
        self._failure = failure or RuntimeError("secret detail")
        self._frames = frames

    def generate(
        self,
        request: GenerationRequest,
        output: Path,
        *,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        with Mp4Writer(output, 48, 64, SILENCE) as video:
            video.add(np.zeros((self._frames, 48, 64, 3), np.uint8))
            on_progress(Progress("sampling", 1, 4, 0, request.sampling.steps))
            if self._at is not None:
                self._at.wait(cancelled)
            if cancelled():
                raise Cancelled
            raise self._failure


def failed(server: RunningServer) -> str:
    """The id of a failed video, once what it left is recorded."""
    video_id = server.create(voices=(), seconds="2")
    server.wait_status(video_id, "failed")
    eventually(lambda: server.service.queue.running() is None, "the engine has returned")
    eventually((server.service.scratch.folder(video_id) / RECORD).exists, "the part is recorded")
    return video_id


def content(server: RunningServer, video_id: str, variant: str = "partial") -> bytes:
    answer = server.http.get(f"/v1/videos/{video_id}/content", params={"variant": variant})
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    ("failure", "code"), [(RuntimeError("x"), "generation_failed"), (MemoryError(), "out_of_memory")]
)
def test_a_failed_video_tells_how_much_of_it_was_made_and_gives_it(
    tmp_path: Path, failure: Exception, code: str
) -> None:
    with running(config_for(tmp_path), WindowedEngine(failure=failure)) as server:
        video_id = failed(server)
        told = server.video(video_id)
        assert (told["status"], told["error"]["code"], told["progress"]) == ("failed", code, 25)
        assert (told["seconds"], told["frames"], told["partial_seconds"]) == ("2", 50, MADE_SECONDS)
        assert told["expires_at"] is not None
        seen = decode(content(server, video_id))
        assert (seen.width, seen.height, seen.frames) == (64, 48, MADE)
        assert seen.audio_seconds == pytest.approx(MADE_SECONDS, abs=0.07)
        assert content(server, video_id, "thumbnail")
        assert server.metric("multitalk_results_bytes") == server.service.scratch.result(video_id).stat().st_size
        assert server.metric("multitalk_video_seconds_total") == 0


def test_the_content_of_a_failed_video_is_not_its_part_unless_that_is_asked_for(tmp_path: Path) -> None:
    with running(config_for(tmp_path), WindowedEngine()) as server:
        answer = server.http.get(f"/v1/videos/{failed(server)}/content")
        assert (answer.status_code, error_of(answer)["code"]) == (409, "video_not_ready")
        assert "variant=partial" in error_of(answer)["message"]
        assert answer.headers["x-should-retry"] == "false"


def test_a_completed_video_has_no_part(server: RunningServer) -> None:
    video_id = server.create(steps="1")
    assert server.wait_status(video_id, "completed")["partial_seconds"] is None
    answer = server.http.get(f"/v1/videos/{video_id}/content", params={"variant": "partial"})
    assert (answer.status_code, error_of(answer)["code"]) == (409, "video_not_ready")


def test_a_video_that_fails_before_its_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with running(config_for(tmp_path), WindowedEngine(frames=0)) as server:
        video_id = server.create(voices=(), seconds="2")
        assert server.wait_status(video_id, "failed")["partial_seconds"] is None
        eventually(lambda: not server.service.scratch.folder(video_id).exists(), "its folder is removed")
        answer = server.http.get(f"/v1/videos/{video_id}/content", params={"variant": "partial"})
        assert answer.status_code == 409
        assert "variant" not in error_of(answer)["message"]


def test_a_cancelled_video_keeps_nothing(tmp_path: Path, gate: ThreadGate) -> None:
    with running(config_for(tmp_path), WindowedEngine(gate)) as server:
        video_id = server.create(voices=(), seconds="2")
        gate.wait_for_arrival(1)
        server.http.delete(f"/v1/videos/{video_id}")
        eventually(lambda: server.service.queue.running() is None, "the engine has returned")
        told = server.video(video_id)
        assert (told["status"], told["partial_seconds"]) == ("cancelled", None)
        eventually(lambda: not server.service.scratch.folder(video_id).exists(), "its folder is removed")


def test_a_part_can_be_deleted(tmp_path: Path) -> None:
    with running(config_for(tmp_path), WindowedEngine()) as server:
        video_id = failed(server)
        assert server.http.delete(f"/v1/videos/{video_id}").status_code == 200
        assert not server.service.scratch.folder(video_id).exists()


def test_parts_count_as_results_in_number_and_size(tmp_path: Path) -> None:
    with running(config_for(tmp_path, max_results=2), WindowedEngine()) as server:
        made = [failed(server) for _ in range(2)]
        newest = server.create(voices=(), seconds="2")
        server.wait_status(newest, "failed")
        eventually(lambda: not server.service.scratch.folder(made[0]).exists(), "the oldest is removed")
        assert [video["id"] for video in server.http.get("/v1/videos").json()["data"]] == [newest, made[1]]


def test_a_part_outlives_the_process_as_a_finished_video_does(tmp_path: Path) -> None:
    clock = Clock()
    with running(config_for(tmp_path, result_ttl_s=60.0), WindowedEngine(), clock=clock) as server:
        video_id = failed(server)
        before, part = server.video(video_id), content(server, video_id)
    with running(config_for(tmp_path, result_ttl_s=60.0), DrawingEngine(), clock=clock) as server:
        assert server.video(video_id) == before
        assert content(server, video_id) == part
    clock.now_s += 61
    with running(config_for(tmp_path, result_ttl_s=60.0), DrawingEngine(), clock=clock) as server:
        assert server.http.get("/v1/videos").json()["data"] == []


def test_a_server_that_has_to_stop_keeps_what_it_has_made(tmp_path: Path, gate: ThreadGate) -> None:
    with running(config_for(tmp_path, grace_s=0.0, linger_s=10.0), WindowedEngine(gate)) as server:
        video_id = server.create(voices=(), seconds="2")
        gate.wait_for_arrival(1)
        server.ask_to_stop()
        eventually(lambda: server.video(video_id)["partial_seconds"], "the part is there")
        assert server.video(video_id)["error"]["code"] == "server_shutting_down"
        content(server, video_id)  # its client has the outcome, so the server does not linger
        server.join()
        assert server.metric("multitalk_requests_total", status="interrupted") == 1
    with running(config_for(tmp_path), DrawingEngine()) as server:
        assert decode(content(server, video_id)).frames == MADE


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file can grow beyond 10 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("frames", [5, 100], ids=["at the end", "while it is written"])
@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, frames: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (frames, 48, 64, 3), np.uint8)
    with pytest.raises(OSError, match="File too large"), Mp4Writer(tmp_path / "video.mp4", 48, 64, SILENCE) as video:
        video.add(noise)
    assert list(tmp_path.iterdir()) == []
