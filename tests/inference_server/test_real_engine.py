"""The server with MultiTalk itself, on the tiny checkpoint: WAV and PNG in over HTTP, MP4 out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from inference_server.harness import RunningServer, config_for, loading
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


def test_what_only_the_engine_can_refuse_fails_the_video_with_the_forms_field(tiny: RunningServer) -> None:
    hair = "0,0,64,46,0,95.2,64,95.8"  # lies in the picture, and covers no pixel of it
    video_id = tiny.create(image=png(96, 64), voices=(wav(0.2), wav(0.2)), box=hair, steps="1")
    failed = ended(tiny, video_id)
    assert (failed["status"], failed["error"]["code"], failed["error"]["param"]) == ("failed", "invalid_input", "box")
