"""The way to ready, as /readyz and clients see it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from inference.generation import LoadProgress, VideoEngine
from inference.server.config import ServerConfig
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import config_for, error_of, loading
from support.waiting import eventually


class SlowLoad:
    """Stays at 42 % of one component until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, _: ServerConfig, on_progress: Callable[[LoadProgress], None]) -> VideoEngine:
        on_progress(LoadProgress("t5", 100, 100))
        on_progress(LoadProgress("dit", 42, 100))
        assert self.go_on.wait(20)
        on_progress(LoadProgress("dit", 100, 100))
        return DrawingEngine()


def test_readyz_is_503_while_loading_and_names_component_and_percent(tmp_path: Path) -> None:
    load = SlowLoad()
    with loading(config_for(tmp_path), load) as server:
        answer = eventually(
            lambda: server.http.get("/readyz"), "42 % are told", wanted=lambda got: got.json()["percent"] == 42
        )
        assert answer.status_code == 503
        assert answer.json() == {
            "ready": False,
            "state": "loading",
            "waiting_for": "loading dit, 42 % read",
            "component": "dit",
            "percent": 42.0,
        }
        assert server.http.get("/healthz").status_code == 200
        load.go_on.set()
        server.wait_ready()
        assert server.http.get("/readyz").json()["state"] == "ready"


def test_a_video_asked_for_while_loading_is_503_and_says_what_is_awaited(tmp_path: Path) -> None:
    load = SlowLoad()
    with loading(config_for(tmp_path), load) as server:
        eventually(lambda: server.http.get("/readyz").json()["percent"] == 42, "42 % are told")
        answer = server.post()
        assert (answer.status_code, error_of(answer)["code"]) == (503, "model_loading")
        assert "dit" in error_of(answer)["message"]
        assert int(answer.headers["retry-after"]) > 0
        load.go_on.set()


def test_load_time_and_bytes_are_exported(tmp_path: Path) -> None:
    load = SlowLoad()
    with loading(config_for(tmp_path), load) as server:
        assert server.metric("multitalk_ready") == 0
        load.go_on.set()
        server.wait_ready()
        assert server.metric("multitalk_ready") == 1
        assert server.metric("multitalk_load_bytes", component="dit") == 100
        seconds = server.metric("multitalk_load_seconds")
        assert seconds is not None
        assert seconds > 0


def test_a_failed_load_ends_the_server_with_exit_code_1(tmp_path: Path) -> None:
    def load(_: ServerConfig, __: Callable[[LoadProgress], None]) -> VideoEngine:
        raise ValueError("tensor blocks.0.weight is missing")

    with loading(config_for(tmp_path), load) as server:
        server.join()
        assert server.exit_code == 1
        assert server.service.readiness.view().failure == "loading the model: tensor blocks.0.weight is missing"
