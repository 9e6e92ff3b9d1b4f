"""The server with InfiniteTalk itself, on the tiny checkpoint: a clip and a voice in over HTTP, MP4 out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fractions import Fraction

import pytest

from inference.multitalk import AUDIO, Variant
from inference_media.clips import Film, steady
from inference_server.harness import RunningServer, config_for, error_of, loading
from inference_server.media import decode, wav
from support.checkpoint import tiny_checkpoint
from support.waiting import eventually

pytest.importorskip("torch", reason="the engine needs torch")
pytest.importorskip("diffusers", reason="the engine needs diffusers")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CLIP = Film(times=steady(30, 30), rate=Fraction(30)).content()


@pytest.fixture(scope="module")
def dubbing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    from inference.server.engines import load_multitalk

    folder = tmp_path_factory.mktemp("dubbing")
    volume = shutil.copytree(tiny_checkpoint(), folder / "volume")
    (volume / AUDIO / Variant.MULTITALK.audio_file).rename(volume / AUDIO / Variant.INFINITETALK.audio_file)
    with loading(config_for(folder, device="cpu"), load_multitalk) as server:
        eventually(lambda: server.http.get("/readyz").status_code == 200, "the engine is loaded", 120)
        yield server


def test_a_clip_is_dubbed(dubbing: RunningServer) -> None:
    assert "video" in dubbing.http.get("/v1/models").json()["data"][0]["input_modalities"]
    told = dubbing.post(image=CLIP, voices=(wav(0.8),), steps="1").json()
    done = dubbing.wait_status(told["id"], "completed", "failed", timeout_s=120)
    assert done["error"] is None
    seen = decode(dubbing.http.get(f"/v1/videos/{told['id']}/content").content)
    assert (f"{seen.width}x{seen.height}", seen.frames) == (told["size"], 20)


def test_a_clip_of_a_shape_that_no_video_has_is_refused_before_the_queue(dubbing: RunningServer) -> None:
    answer = dubbing.post(image=Film(width=640, height=64).content())
    assert (answer.status_code, error_of(answer)["param"]) == (400, "input_reference")
    assert "would be cut off" in error_of(answer)["message"]
