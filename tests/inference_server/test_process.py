"""The process as Kubernetes sees it: signals, grace, exit codes, the last line of the log."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference_server.media import decode, png, wav
from inference_server.process import ServerProcess
from support.waiting import eventually

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[ServerProcess] = []

    def start_one(*flags: str, whole: bool = True) -> ServerProcess:
        started.append(ServerProcess(tmp_path, *flags, whole=whole))
        return started[-1]

    yield start_one
    for process in started:
        process.close()


def create(client: httpx.Client, steps: int = 4) -> str:
    files = [("input_reference", ("face.png", png())), ("audio", ("voice.wav", wav()))]
    answer = client.post("/v1/videos", data={"prompt": "p", "steps": str(steps)}, files=files)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def video(client: httpx.Client, video_id: str) -> dict[str, Any]:
    return dict(client.get(f"/v1/videos/{video_id}").json())


def in_the_middle(process: ServerProcess, client: httpx.Client) -> str:
    """A video that is being made, and halfway there."""
    video_id = create(client)
    process.allow_steps(2)
    eventually(lambda: video(client, video_id)["progress"] == 50, "half of it is made")
    return video_id


def test_sigterm_in_mid_generation_lets_the_video_finish_and_its_client_fetch_it(start: Start) -> None:
    process = start()
    with process.ready_client() as client:
        running = in_the_middle(process, client)
        waiting = create(client)
        process.signal()
        process.wait_for_log("draining")
        assert client.get("/readyz").json()["state"] == "draining"
        assert client.get("/healthz").status_code == 200
        refused = client.post("/v1/videos", data={"prompt": "p"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_shutting_down")
        assert video(client, waiting)["error"]["code"] == "server_shutting_down"
        process.allow_steps(2)
        eventually(lambda: video(client, running)["status"] == "completed", "the running one is completed")
        assert decode(client.get(f"/v1/videos/{running}/content").content).frames == 10
    assert process.exit_code() == 0
    assert process.log[-1] == "stopped"


def test_sigterm_fails_a_video_cleanly_that_does_not_finish_within_the_grace_period(start: Start) -> None:
    process = start("--grace-s", "0.2")
    with process.ready_client() as client:
        running = in_the_middle(process, client)
        process.signal()
        failed = eventually(
            lambda: video(client, running), "the running one fails", wanted=lambda got: got["status"] == "failed"
        )
        assert failed["error"]["code"] == "server_shutting_down"
    assert process.exit_code() == 0
    assert not any("Traceback" in line for line in process.log)


def test_a_second_signal_does_not_wait_for_the_grace_period(start: Start) -> None:
    process = start("--grace-s", "3600", "--linger-s", "3600")
    with process.ready_client() as client:
        in_the_middle(process, client)
        process.signal()
        process.wait_for_log("draining")
        process.signal(signal.SIGINT)
    assert process.exit_code() == 0


def test_a_result_that_nobody_fetches_is_waited_for_only_so_long(start: Start) -> None:
    process = start("--linger-s", "0.2")
    with process.ready_client() as client:
        in_the_middle(process, client)
        process.signal()
        process.wait_for_log("draining")
        process.allow_steps(2)
    assert process.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once(start: Start, number: signal.Signals) -> None:
    process = start()
    process.wait_ready()
    process.signal(number)
    assert process.exit_code() == 0


def test_a_server_that_is_still_loading_stops_at_once(start: Start) -> None:
    process = start("--base-dir", "slow")
    with process.client() as client:
        assert client.get("/readyz").json()["component"] == "video autoencoder"
        process.signal()
        assert process.exit_code() == 0


def test_an_incomplete_volume_ends_the_process_with_one_line_and_exit_code_1(start: Start) -> None:
    process = start(whole=False)
    assert process.exit_code() == 1
    (line,) = process.log
    assert line.startswith("multitalk-server: error: volume ")
    assert "FileMissing: whole" in line


def test_a_server_restarted_on_a_volume_damaged_meanwhile_refuses(start: Start, tmp_path: Path) -> None:
    first = start()
    first.wait_ready()
    first.signal()
    assert first.exit_code() == 0
    (tmp_path / "volume" / "whole").unlink()
    assert start(whole=False).exit_code() == 1


def test_a_failed_load_ends_the_process_with_a_line_that_says_why_and_exit_code_1(start: Start) -> None:
    process = start("--base-dir", "broken")
    assert process.exit_code() == 1
    assert process.log[-1] == "multitalk-server: error: loading the model: base/weights.safetensors: tensor is missing"


def test_a_port_that_is_taken_ends_the_process_with_one_line_and_exit_code_1(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        assert process.exit_code() == 1
    (line,) = process.log
    assert line.startswith(f"multitalk-server: error: listening on 127.0.0.1:{port}: Address already in use. Choose")


def test_a_scratch_directory_in_use_ends_the_process_with_one_line_and_exit_code_1(start: Start) -> None:
    first = start()
    first.wait_ready()
    second = start()
    assert second.exit_code() == 1
    assert "another server uses" in second.log[-1]
