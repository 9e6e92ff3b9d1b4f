"""A clip as input_reference, over HTTP: accepted by weights that take clips, refused by others."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from inference_media.clips import Film, steady
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, config_for, error_of, running
from inference_server.media import decode, png

CLIP = Film(times=steady(25, 20)).content()


@pytest.fixture
def dubbing(tmp_path: Path) -> Iterator[RunningServer]:
    with running(config_for(tmp_path), DrawingEngine(clips=True)) as server:
        yield server


def modalities(server: RunningServer) -> list[str]:
    return list(server.http.get("/v1/models").json()["data"][0]["input_modalities"])


@pytest.mark.parametrize(
    ("form", "codec"),
    [("mp4", "libx264"), ("mov", "libx264"), ("webm", "libvpx"), ("matroska", "libx264"), ("avi", "mpeg4")],
)
def test_a_clip_becomes_a_video(dubbing: RunningServer, form: str, codec: str) -> None:
    video_id = dubbing.create(image=Film(form, codec, steady(25, 20), clock=Fraction(1, 25)).content())
    assert dubbing.wait_status(video_id, "completed", "failed")["size"] == "64x32"
    assert decode(dubbing.http.get(f"/v1/videos/{video_id}/content").content).frames == 10


def test_pictures_still_become_videos(dubbing: RunningServer) -> None:
    assert dubbing.wait_status(dubbing.create(image=png()), "completed", "failed")["error"] is None


def test_the_estimate_is_that_of_a_picture_of_the_same_size(dubbing: RunningServer) -> None:
    told = dubbing.http.get("/v1/estimate", params={"width": 128, "height": 64, "seconds": 0.4}).json()
    made = dubbing.post(image=CLIP).json()
    assert [told[name] for name in ("width", "height", "frames")] == [
        made[name] for name in ("width", "height", "frames")
    ]


def test_a_clip_can_be_a_data_url(dubbing: RunningServer) -> None:
    content = b"data:video/mp4;base64," + base64.b64encode(CLIP)
    assert dubbing.post(image=content).status_code == 200


def test_the_model_says_whether_it_takes_clips(dubbing: RunningServer, tmp_path: Path) -> None:
    assert modalities(dubbing) == ["text", "image", "audio", "video"]
    with running(config_for(tmp_path / "other"), DrawingEngine()) as server:
        assert modalities(server) == ["text", "image", "audio"]


def test_a_clip_is_refused_by_weights_that_take_pictures(server: RunningServer) -> None:
    answer = server.post(image=CLIP)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_image")
    assert "--audio-dir InfiniteTalk/single" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (Film(times=steady(25, 161)).content(), "too_long"),
        (Film(width=1200, height=1000).content(), "invalid_video"),
        (CLIP[:-200], "invalid_video"),
        (Film("flv").content(), "invalid_video"),
    ],
    ids=["too long", "too large", "cut short", "another format"],
)
def test_a_clip_that_cannot_be_used_is_refused_when_it_is_sent(dubbing: RunningServer, image: bytes, code: str) -> None:
    answer = dubbing.post(image=image)
    assert (answer.status_code, error_of(answer)["code"], error_of(answer)["param"]) == (400, code, "input_reference")
    assert dubbing.service.queue.counts().unfinished == 0
