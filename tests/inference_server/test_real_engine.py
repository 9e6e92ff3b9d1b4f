"""The server with MultiTalk itself, on the tiny checkpoint: WAV and PNG in over HTTP, MP4 out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from inference_server.harness import RunningServer, config_for, error_of, loading
from inference_server.hostile_media import saved, wav_head
from inference_server.media import decode, png, wav
from support.checkpoint import tiny_checkpoint
from support.waiting import eventually

pytest.importorskip("torch", reason="the engine needs torch")
pytest.importorskip("diffusers", reason="the engine needs diffusers")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LOADS_WITHIN_S = 120.0
RAISED = {"max_megapixels": 80.0, "max_seconds": 900.0, "max_upload_mib": 16.0}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    from inference.server.engines import load_multitalk

    folder = tmp_path_factory.mktemp("tiny")
    config = config_for(folder, volume=tiny_checkpoint(), device="cpu", **RAISED)
    with loading(config, load_multitalk) as server:
        eventually(lambda: server.http.get("/readyz").status_code == 200, "the engine is loaded", LOADS_WITHIN_S)
        yield server


def ended(tiny: RunningServer, video_id: str) -> dict[str, Any]:
    return tiny.wait_status(video_id, "completed", "failed", timeout_s=120)


def test_one_person_talks_for_as_long_as_the_voice(tiny: RunningServer) -> None:
    video_id = tiny.create(image=png(96, 64), voices=(wav(0.8),), steps="2")
    done = ended(tiny, video_id)
    assert done["error"] is None
    seen = decode(tiny.http.get(f"/v1/videos/{video_id}/content").content)
    assert seen.frames == 20
    assert seen.audio_seconds == pytest.approx(0.8, abs=0.1)
    assert done["size"] == f"{seen.width}x{seen.height}"
    steps = tiny.metric("multitalk_step_seconds_count")
    assert steps is not None
    assert steps >= 2
    assert steps % 2 == 0  # two a window


def test_two_people_talk_in_their_boxes(tiny: RunningServer) -> None:
    video_id = tiny.create(
        image=png(96, 64), voices=(wav(0.4), wav(0.4)), steps="1", audio_mode="add", box=["0,0,64,46", "0,50,64,96"]
    )
    done = ended(tiny, video_id)
    assert done["error"] is None
    assert decode(tiny.http.get(f"/v1/videos/{video_id}/content").content).frames == 20


def test_a_silent_person_and_a_video_without_any_voice_can_be_made(tiny: RunningServer) -> None:
    for voices, seconds in (((wav(0.4), b"none"), None), ((), "0.4")):
        video_id = tiny.create(image=png(96, 64), voices=voices, steps="1", seconds=seconds)
        assert ended(tiny, video_id)["error"] is None
        assert decode(tiny.http.get(f"/v1/videos/{video_id}/content").content).frames == 10


def test_the_engine_has_no_limit_of_its_own_below_those_of_the_flags(tiny: RunningServer) -> None:
    picture = saved(Image.new("1", (10_000, 7_000)), "PNG")
    voice = wav_head(4_000, 1, b"\x80" * 4_000 * 700, bits=8)
    video_id = tiny.create(image=picture, voices=(voice,), steps="1", seconds="0.2")
    assert ended(tiny, video_id)["error"] is None


def test_a_generation_is_cancelled_between_two_steps(tiny: RunningServer) -> None:
    video_id = tiny.create(image=png(96, 64), voices=(wav(3.0),), steps="100")
    eventually(lambda: tiny.video(video_id)["progress"] > 0, "the video is begun", 120)
    tiny.http.delete(f"/v1/videos/{video_id}")
    assert tiny.service.queue.wait(lambda queue: queue.counts().running == 0, 60)
    assert tiny.video(video_id)["status"] == "cancelled"


HAIR = "0,0,64,46,0,95.2,64,95.8"  # lies in the picture, and covers no pixel of it
CUT_AWAY = "0,0,100,100,0,108,100,109"  # of a picture that is 110 wide, 10 are cut off
REFUSED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a box without a pixel": ({"voices": (wav(0.2), wav(0.2)), "box": HAIR}, "box", "box_too_small", "person 2"),
    "a box in the border that is cut off": (
        {"image": png(110, 100), "voices": (wav(0.2), wav(0.2)), "box": CUT_AWAY}, "box", "box_too_small", "cut off",
    ),
    "a small box of one person": ({"box": "0,95,64,96"}, "box", "box_too_small", "person 1"),
    "one box for both": (
        {"voices": (wav(0.2), wav(0.2)), "box": "0,0,64,40,0,0,64,40"}, "box", "invalid_input", "the same for both",
    ),
    "boxes in parts of the picture": (
        {"voices": (wav(0.2), wav(0.2)), "box": "0,0,1,0.5,0,0.5,1,1"}, "box", "box_too_small", "person 1",
    ),
    "a box where nobody speaks": ({"voices": (), "box": "0,0,64,40"}, "box", "invalid_input", "nobody speaks"),
    "a panorama": ({"image": png(1600, 200)}, "input_reference", "invalid_image", "52% of it would be cut off"),
    "a tower": ({"image": png(100, 520)}, "input_reference", "invalid_image", "cut off"),
    "a size of the other orientation": ({"size": "720x1280"}, "size", "invalid_value", "use 1280x720"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_engine_cannot_make_is_refused_before_the_queue(
    tiny: RunningServer, case: tuple[dict[str, Any], str, str, str]
) -> None:
    fields, param, code, words = case
    answer = tiny.post(**({"image": png(96, 64), "voices": (wav(0.2),)} | fields))
    error = error_of(answer)
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("fields", "size", "frames", "seconds"),
    [
        ({"image": png(96, 64)}, "80x48", 5, "0.2"),
        ({"image": png(64, 96), "size": "720x1280"}, "80x112", 5, "0.2"),
        ({"image": png(64, 64), "size": "1280x720", "seconds": "0.1"}, "96x96", 2, "0.08"),
        ({"voices": (wav(0.4), wav(0.21)), "audio_mode": "add"}, "64x64", 16, "0.64"),
    ],
    ids=["one voice", "portrait", "square and cut", "in turn"],
)
def test_the_first_response_says_what_will_be_made(
    tiny: RunningServer, fields: dict[str, Any], size: str, frames: int, seconds: str
) -> None:
    told = tiny.post(**({"voices": (wav(0.2),), "steps": "1"} | fields)).json()
    width, height = map(int, told["size"].split("x"))
    assert (told["size"], told["width"], told["height"]) == (size, width, height)
    assert (told["frames"], told["seconds"]) == (frames, seconds)
    made = ended(tiny, told["id"])
    seen = decode(tiny.http.get(f"/v1/videos/{told['id']}/content").content)
    assert (seen.width, seen.height, seen.frames) == (width, height, frames)
    assert [made[name] for name in ("size", "width", "height", "frames", "seconds")] == [
        told[name] for name in ("size", "width", "height", "frames", "seconds")
    ]
