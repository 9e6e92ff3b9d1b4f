"""Queue place, time left and the estimate before sending: the rules as a table, then over HTTP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inference.generation import GenerationRequest, Sampling, Speaker, VideoPlan
from inference.server.forecast import Forecast, forecast, pace_of, work, work_of
from inference.server.jobs import CheckedRequest, Clip, Job, JobError
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, error_of, loading, running
from inference_server.media import wav
from support.clock import Clock

NOW = 100.0


def job(*, steps: int = 10, windows: int = 2, progress: int = 0, began: float | None = None) -> Job:
    """20 units of work unless told otherwise."""
    generation = GenerationRequest("p", Path("image"), (Speaker(None),), sampling=Sampling(steps=steps))
    waiting = Job("video_1", CheckedRequest(generation, "m", VideoPlan(64, 48, 25, 1.0, windows)), created_at=0)
    if began is None:
        return waiting
    return replace(waiting.started(began), progress=progress)


WAITS = job()
HALF_DONE = job(began=NOW - 30, progress=50)
JUST_BEGUN = job(began=NOW - 5, progress=1)
CANCELLED = HALF_DONE.cancelled(NOW, 10)


@pytest.mark.parametrize(
    ("new", "ahead", "pace", "expected"),
    [
        pytest.param(WAITS, [], None, Forecast(0, None), id="nothing was ever finished"),
        pytest.param(WAITS, [], 2.0, Forecast(0, 40.0), id="its work at the pace of the last one"),
        pytest.param(WAITS, [WAITS], 2.0, Forecast(1, 80.0), id="behind one that waits too"),
        pytest.param(HALF_DONE, [], None, Forecast(0, 30.0), id="its own progress"),
        pytest.param(HALF_DONE, [], 9.0, Forecast(0, 30.0), id="its own progress counts more than the pace"),
        pytest.param(JUST_BEGUN, [], 2.0, Forecast(0, 35.0), id="hardly begun: the pace"),
        pytest.param(JUST_BEGUN, [], None, Forecast(0, 495.0), id="hardly begun, and no pace"),
        pytest.param(JUST_BEGUN, [], 0.1, Forecast(0, 0.0), id="later than expected is never negative"),
        pytest.param(WAITS, [HALF_DONE, WAITS], 2.0, Forecast(2, 110.0), id="behind the running one and another"),
        pytest.param(WAITS, [HALF_DONE], None, Forecast(1, None), id="one of two is unknown"),
        pytest.param(WAITS, [CANCELLED], 2.0, Forecast(1, 40.0), id="the engine is leaving a cancelled one"),
        pytest.param(7.0, [HALF_DONE], 2.0, Forecast(1, 44.0), id="one that is not sent yet"),
    ],
)
def test_a_forecast(new: Job | float, ahead: list[Job], pace: float | None, expected: Forecast) -> None:
    assert forecast(new, ahead, pace, NOW) == expected


def test_work_grows_with_windows_steps_and_size() -> None:
    plan = VideoPlan(64, 48, 25, 1.0, 3)
    assert work(plan, "multitalk-480", 10) == 30
    assert work(plan, "multitalk-720", 10) > 90
    assert work_of(job(steps=4, windows=5)) == 20


def test_only_a_completed_video_tells_a_pace() -> None:
    running_job = job(began=10.0)
    assert pace_of(running_job.completed(Clip(64, 48, 1.0, 10), 50.0, 10)) == 2.0
    for other in (WAITS, running_job, running_job.cancelled(50, 10), running_job.failed(JobError("no", "no"), 50, 10)):
        assert pace_of(other) is None


def test_videos_tell_their_place_and_the_time_left(tmp_path: Path, gate: ThreadGate) -> None:
    clock = Clock()
    with running(config_for(tmp_path), DrawingEngine(gate), clock=clock) as server:
        first = server.create(steps="4")
        gate.wait_for_arrival(1)
        second, third = server.create(steps="4"), server.create(steps="8")
        places = [server.video(video_id)["queue_position"] for video_id in (first, second, third)]
        assert places == [0, 1, 2]
        assert [server.video(video_id)["seconds_left"] for video_id in (first, third)] == [None, None]
        clock.now_s += 10
        gate.allow(2)
        gate.wait_for_arrival(3)
        assert server.video(first)["seconds_left"] == 10
        gate.allow(2)
        server.wait_status(first, "completed")
        gate.wait_for_arrival(5)
        done = server.video(first)
        assert (done["queue_position"], done["seconds_left"]) == (None, None)
        listed = {video["id"]: video for video in server.http.get("/v1/videos").json()["data"]}
        assert (listed[second]["queue_position"], listed[second]["seconds_left"]) == (0, 10)
        assert (listed[third]["queue_position"], listed[third]["seconds_left"]) == (1, 30)
        question = {"width": 64, "height": 48, "seconds": 1, "steps": 4}
        answer = server.http.get("/v1/estimate", params=question).json()
        assert (answer["queue_position"], answer["seconds_left"]) == (2, 40)


def test_an_estimate_is_what_is_then_made(server: RunningServer) -> None:
    estimate = server.http.get("/v1/estimate", params={"width": 64, "height": 48, "seconds": 1}).json()
    assert estimate == {
        "object": "estimate", "width": 64, "height": 48, "frames": 25, "seconds": 1.0, "queue_position": 0,
        "seconds_left": None,
    }  # fmt: skip
    video = server.wait_status(server.create(voices=(wav(1.0),)), "completed")
    assert video["size"] == "64x48"


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"seconds": "6.5"}, "seconds", "too_long"),
        ({"seconds": "0"}, "seconds", "invalid_value"),
        ({"seconds": "nan"}, "seconds", "invalid_value"),
        ({"width": "0"}, "width", "invalid_value"),
        ({"height": None}, "height", "invalid_value"),
        ({"size": "640x480"}, "size", "invalid_value"),
        ({"steps": "101"}, "steps", "invalid_value"),
    ],
)
def test_an_estimate_of_what_would_be_refused(
    server: RunningServer, changes: dict[str, str | None], param: str, code: str
) -> None:
    asked = {"width": "64", "height": "48"} | changes
    answer = server.http.get("/v1/estimate", params={key: value for key, value in asked.items() if value is not None})
    assert answer.status_code == 400
    assert (error_of(answer)["param"], error_of(answer)["code"]) == (param, code)


def test_there_is_no_estimate_before_the_engine_is_loaded(tmp_path: Path, gate: ThreadGate) -> None:
    def load(*_: object) -> DrawingEngine:
        gate.wait(lambda: False)
        return DrawingEngine()

    with loading(config_for(tmp_path), load) as server:
        answer = server.http.get("/v1/estimate", params={"width": 64, "height": 48})
        assert (answer.status_code, error_of(answer)["code"]) == (503, "model_loading")
        gate.open()


def test_the_model_tells_its_limits_and_defaults(server: RunningServer) -> None:
    (model,) = server.http.get("/v1/models").json()["data"]
    assert model["limits"] == {"seconds": 6.0, "megapixels": 1.0, "upload_bytes": 2**20}
    assert (model["defaults"]["steps"], model["defaults"]["shift"]) == (40, None)
