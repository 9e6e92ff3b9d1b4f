"""The official `openai` client, unchanged, against this server."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from inference.generation import Sampling
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import TIMEOUT_S, RunningServer, config_for, running
from inference_server.media import decode, png, wav

# The client announces the end of OpenAI's own service with a warning; the API lives on here.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def client_of(server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", timeout=TIMEOUT_S, max_retries=0)


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with client_of(server) as made:
        yield made


def voice(seconds: float) -> str:
    return "data:audio/wav;base64," + base64.b64encode(wav(seconds)).decode()


def test_the_standard_fields_alone_make_a_video(client: openai.OpenAI) -> None:
    video = client.videos.create_and_poll(
        prompt="a person listens",
        input_reference=("face.png", png(), "image/png"),
        model="multitalk",
        seconds="4",
        size="1280x720",
        poll_interval_ms=20,
        extra_body={"steps": 1},
    )
    assert (video.status, video.progress, video.seconds, video.error) == ("completed", 100, "4", None)
    content = client.videos.download_content(video.id, variant="video").read()
    assert decode(content).frames == 100


def test_voices_and_multitalks_settings_go_into_extra_body(client: openai.OpenAI, engine: DrawingEngine) -> None:
    video = client.videos.create_and_poll(
        prompt="two people talk",
        input_reference=io.BytesIO(png(64, 48)),
        poll_interval_ms=20,
        extra_body={
            "audio": [voice(0.4), voice(0.4)],
            "box": [[0, 0, 48, 30], [0, 34, 48, 64]],
            "audio_mode": "add",
            "steps": 2,
            "use_apg": True,
            "audio_guidance": 3.5,
        },
    )
    assert video.status == "completed"
    (got,) = engine.requests
    assert (got.audio_mode, got.sampling) == ("add", Sampling(steps=2, use_apg=True, audio_guidance=3.5))
    assert [(speaker.box.left, speaker.box.right) for speaker in got.speakers if speaker.box] == [(0, 30), (34, 64)]
    assert decode(client.videos.download_content(video.id).content).frames == 20


def test_a_file_path_and_raw_bytes_are_taken_as_pictures(client: openai.OpenAI, tmp_path: Path) -> None:
    picture = tmp_path / "face.png"
    picture.write_bytes(png())
    for reference in (picture, png()):
        assert client.videos.create(prompt="p", input_reference=reference, seconds="4").object == "video"


def test_polling_uses_the_interval_that_the_server_hints(client: openai.OpenAI) -> None:
    raw = client.videos.with_raw_response.create(prompt="p", input_reference=png())
    assert raw.headers["openai-poll-after-ms"] == "1000"


def test_the_list_pages_itself(client: openai.OpenAI) -> None:
    made = [client.videos.create(prompt=f"{n}", input_reference=png(), extra_body={"steps": 1}).id for n in range(3)]
    assert [video.id for video in client.videos.list(limit=2, order="asc")] == made
    assert [video.id for video in client.videos.list(limit=2)] == made[::-1]
    assert client.videos.list(after=made[0], order="asc").data[0].id == made[1]


def test_a_video_is_retrieved_and_deleted(client: openai.OpenAI) -> None:
    video = client.videos.create_and_poll(
        prompt="p", input_reference=png(), poll_interval_ms=20, extra_body={"audio": voice(0.2), "steps": 1}
    )
    assert client.videos.retrieve(video.id) == video
    assert client.videos.delete(video.id).deleted is True
    with pytest.raises(openai.NotFoundError) as caught:
        client.videos.retrieve(video.id)
    assert (caught.value.code, caught.value.param) == ("video_not_found", "video_id")


def test_refusals_are_the_clients_own_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.videos.create(prompt="p", input_reference=b"no picture")
    assert (bad.value.code, bad.value.param, bad.value.type) == (
        "invalid_image",
        "input_reference",
        "invalid_request_error",
    )
    with pytest.raises(openai.NotFoundError) as unknown:
        client.videos.create(prompt="p", input_reference=png(), model="sora-2")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as missing:
        client.videos.create(prompt="p")
    assert missing.value.param == "input_reference"


def test_a_full_queue_is_the_clients_rate_limit_error(tmp_path: Path, gate: ThreadGate) -> None:
    with running(config_for(tmp_path, queue=0), DrawingEngine(gate)) as server, client_of(server) as client:
        client.videos.create(prompt="p", input_reference=png())
        with pytest.raises(openai.RateLimitError) as caught:
            client.videos.create(prompt="p", input_reference=png())
        assert caught.value.code == "queue_full"


def test_a_polling_client_learns_that_its_video_was_cancelled(held: RunningServer, gate: ThreadGate) -> None:
    with client_of(held) as client:
        video = client.videos.create(prompt="p", input_reference=png())
        gate.wait_for_arrival(1)
        seen: list[str] = []
        poller = threading.Thread(target=lambda: seen.append(client.videos.poll(video.id, poll_interval_ms=20).status))
        poller.start()
        client.videos.delete(video.id)
        poller.join(TIMEOUT_S)
        assert seen == ["cancelled"]


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["multitalk"]
    assert client.models.retrieve("multitalk").owned_by == "MeiGen-AI"
