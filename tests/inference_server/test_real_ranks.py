"""MultiTalk itself in two processes, on the tiny checkpoint: nothing that happens in one leaves the other waiting."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference_server.media import decode, png, wav
from inference_server.process import ServerProcess
from inference_server.test_process import video
from inference_server.test_ranks import KILLED, all_gone
from support.checkpoint import tiny_checkpoint
from support.waiting import eventually

pytest.importorskip("torch", reason="the engine needs torch")
pytest.importorskip("diffusers", reason="the engine needs diffusers")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WITHIN_S = 120.0
SERVER = "inference_server.real_process"
Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    started: list[ServerProcess] = []

    def start_two(*flags: str, launch: tuple[str, ...] = (sys.executable, "-m", SERVER)) -> ServerProcess:
        (tmp_path / "volume").symlink_to(tiny_checkpoint())
        started.append(ServerProcess(tmp_path, "--device", "cpu", *flags, whole=False, launch=launch))
        return started[-1]

    yield start_two
    for process in started:
        process.close()


def begun(client: httpx.Client, seconds: float, steps: int) -> str:
    files = [("input_reference", ("face.png", png(96, 64))), ("audio", ("voice.wav", wav(seconds)))]
    answer = client.post("/v1/videos", data={"prompt": "p", "steps": str(steps)}, files=files)
    assert answer.status_code == 200, answer.text
    video_id = str(answer.json()["id"])
    ended(client, video_id, lambda got: got["progress"] > 0 or got["status"] == "completed")
    return video_id


def ended(
    client: httpx.Client,
    video_id: str,
    wanted: Callable[[dict[str, Any]], object] = lambda got: got["status"] not in ("queued", "in_progress"),
) -> dict[str, Any]:
    return eventually(lambda: video(client, video_id), "the video comes so far", WITHIN_S, wanted=wanted)


def test_a_cancelled_video_leaves_nobody_waiting_and_a_rank_that_dies_in_a_step_ends_the_server(start: Start) -> None:
    process = start("--gpus", "2")
    with process.ready_client(WITHIN_S) as client:
        (other,) = process.ranks(1)
        cancelled = begun(client, 3.0, steps=100)
        client.delete(f"/v1/videos/{cancelled}")
        made = begun(client, 0.4, steps=2)
        assert ended(client, made)["error"] is None
        assert decode(client.get(f"/v1/videos/{made}/content").content).frames == 10
        lost = begun(client, 3.0, steps=100)
        os.kill(other, signal.SIGKILL)
        assert ended(client, lost)["error"]["code"] == "engine_lost"
    assert process.exit_code() == 1
    assert process.log[-1] == KILLED.replace("rank 2", "rank 1")


def test_a_rank_whose_server_is_killed_in_a_step_ends_too(start: Start) -> None:
    process = start("--gpus", "2")
    with process.ready_client(WITHIN_S) as client:
        begun(client, 3.0, steps=100)
        others = process.ranks(1)
        process.signal(signal.SIGKILL)
    all_gone(others)


def test_processes_that_torchrun_has_started_make_a_video_and_all_end_well(start: Start) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", SERVER)
    process = start(launch=torchrun)
    with process.ready_client(WITHIN_S) as client:
        made = begun(client, 0.4, steps=2)
        assert ended(client, made)["error"] is None
        process.signal()
    process.exit_code()
    assert "stopped" in process.log
    assert "rank 0 has ended rank=1" in process.log


def test_a_number_of_processes_to_which_the_heads_cannot_be_dealt_is_refused_at_start(start: Start) -> None:
    process = start("--gpus", "3")
    assert process.exit_code(WITHIN_S) == 1
    assert process.log[-1].startswith(
        "multitalk-server: error: loading the model: joining 3 devices: the 2 attention heads"
    )
    assert process.log[-1].endswith("Use one of 2")
