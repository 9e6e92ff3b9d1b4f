"""The way of a video: asked for, made, downloaded, listed, deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.generation import Box, Sampling
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, error_of, running
from inference_server.media import decode, png, wav
from support.waiting import eventually


def test_a_picture_and_a_voice_become_an_mp4_as_long_as_the_voice(server: RunningServer) -> None:
    video_id = server.create(image=png(64, 48), voices=(wav(0.8),))
    done = server.wait_status(video_id, "completed")
    answer = server.http.get(f"/v1/videos/{video_id}/content")
    assert answer.headers["content-type"] == "video/mp4"
    seen = decode(answer.content)
    assert (seen.width, seen.height, seen.frames) == (64, 48, 20)
    assert seen.audio_seconds == pytest.approx(0.8, abs=0.1)
    assert seen.loudness > 0.1
    assert (done["size"], done["seconds"], done["progress"]) == ("64x48", "0.8", 100)
    assert done["completed_at"] >= done["created_at"]
    assert done["expires_at"] == pytest.approx(done["completed_at"] + 3600, abs=1)


def test_the_answer_to_a_post_is_a_queued_video_and_a_polling_interval(held: RunningServer) -> None:
    answer = held.post(prompt="two words")
    video = answer.json()
    assert video["object"] == "video"
    assert video["status"] in ("queued", "in_progress")
    assert (video["prompt"], video["model"], video["error"]) == ("two words", "multitalk", None)
    assert int(answer.headers["openai-poll-after-ms"]) > 0
    assert answer.headers["x-request-id"].startswith("req_")


def test_progress_follows_the_steps_and_stays_below_100_until_the_video_is_there(
    held: RunningServer, gate: ThreadGate
) -> None:
    video_id = held.create(steps="4")
    seen = []
    for step in range(1, 4):
        gate.allow(1)
        gate.wait_for_arrival(step + 1)
        seen.append(held.video(video_id)["progress"])
    assert seen == [25, 50, 75]
    gate.open()
    assert held.wait_status(video_id, "completed")["progress"] == 100


def test_every_setting_reaches_the_engine(server: RunningServer, engine: DrawingEngine) -> None:
    settings = {
        "negative_prompt": "blur", "audio_mode": "add", "size": "1280x720", "seconds": "0.5", "steps": "3", "seed": "7",
        "text_guidance": "2.5", "audio_guidance": "3.5", "shift": "11", "use_apg": "true", "teacache_threshold": "0.2",
        "box": ["0,0,48,30", "1,32,47,64"],
    }  # fmt: skip
    video_id = server.create(voices=(wav(0.3), wav(0.4)), **settings)
    server.wait_status(video_id, "completed")
    (got,) = engine.requests
    assert (got.negative_prompt, got.audio_mode, got.resolution, got.seconds) == ("blur", "add", "multitalk-720", 0.5)
    assert got.sampling == Sampling(3, 7, 2.5, 3.5, shift=11.0, use_apg=True, teacache_threshold=0.2)
    assert [speaker.box for speaker in got.speakers] == [Box(0, 0, 48, 30), Box(1, 32, 47, 64)]


@pytest.mark.parametrize(("mode", "seconds"), [("add", 1.0), ("para", 0.6)])
def test_two_voices_sound_one_after_the_other_or_at_once(server: RunningServer, mode: str, seconds: float) -> None:
    video_id = server.create(voices=(wav(0.4), wav(0.6, hertz=330)), audio_mode=mode)
    assert float(server.video(video_id)["seconds"]) == pytest.approx(seconds, abs=0.05)
    server.wait_status(video_id, "completed")
    assert decode(server.http.get(f"/v1/videos/{video_id}/content").content).frames == round(seconds * 25)


def test_without_a_voice_the_person_keeps_silent_for_the_seconds_asked(server: RunningServer) -> None:
    video_id = server.create(voices=(), seconds="1")
    server.wait_status(video_id, "completed")
    seen = decode(server.http.get(f"/v1/videos/{video_id}/content").content)
    assert seen.frames == 25
    assert seen.loudness == pytest.approx(0.0, abs=1e-3)


def test_one_of_two_people_can_keep_silent(server: RunningServer, engine: DrawingEngine) -> None:
    video_id = server.create(voices=(b"none", wav(0.6)))
    server.wait_status(video_id, "completed")
    assert [speaker.audio is None for speaker in engine.requests[0].speakers] == [True, False]
    assert decode(server.http.get(f"/v1/videos/{video_id}/content").content).frames == 15


def test_the_same_request_gives_the_same_video(server: RunningServer) -> None:
    contents = []
    for _ in range(2):
        video_id = server.create()
        server.wait_status(video_id, "completed")
        contents.append(server.http.get(f"/v1/videos/{video_id}/content").content)
    assert contents[0] == contents[1]


def test_a_part_of_the_video_can_be_asked_for(server: RunningServer) -> None:
    video_id = server.create()
    server.wait_status(video_id, "completed")
    whole = server.http.get(f"/v1/videos/{video_id}/content").content
    part = server.http.get(f"/v1/videos/{video_id}/content", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])


def test_content_of_an_unfinished_video_is_refused_without_inviting_a_retry(held: RunningServer) -> None:
    answer = held.http.get(f"/v1/videos/{held.create()}/content")
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"
    assert error_of(answer)["code"] == "video_not_ready"


def test_uploads_are_gone_once_the_video_is_there(server: RunningServer) -> None:
    video_id = server.create()
    server.wait_status(video_id, "completed")
    folder = server.service.scratch.folder(video_id)
    server.wait_status(server.create(), "completed")  # the worker settles one job before it takes the next
    assert sorted(path.name for path in folder.iterdir()) == ["video.json", "video.mp4"]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_cover_the_list_once_and_in_order(tmp_path: Path, gate: ThreadGate, order: str) -> None:
    with running(config_for(tmp_path, queue=4), DrawingEngine(gate)) as server:
        made = [server.create() for _ in range(5)]
        seen: list[str] = []
        query: dict[str, str | int] = {"limit": 2, "order": order}
        while True:
            page = server.http.get("/v1/videos", params=query).json()
            seen += [video["id"] for video in page["data"]]
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            if not page["has_more"]:
                break
            query["after"] = page["last_id"]
    assert seen == (made if order == "asc" else made[::-1])


def test_the_list_goes_on_after_a_video_that_was_deleted_meanwhile(server: RunningServer) -> None:
    made = [server.create() for _ in range(3)]
    for video_id in made:
        server.wait_status(video_id, "completed")
    server.http.delete(f"/v1/videos/{made[1]}")
    page = server.http.get("/v1/videos", params={"after": made[1], "order": "asc"}).json()
    assert [video["id"] for video in page["data"]] == [made[2]]


def test_an_empty_list_has_no_ids(server: RunningServer) -> None:
    assert server.http.get("/v1/videos").json() == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip


def test_a_deleted_video_is_gone_with_its_file(server: RunningServer) -> None:
    video_id = server.create()
    server.wait_status(video_id, "completed")
    answer = server.http.delete(f"/v1/videos/{video_id}")
    assert answer.json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    assert server.http.get(f"/v1/videos/{video_id}").status_code == 404
    assert not server.service.scratch.folder(video_id).exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/videos/video_0"),
        ("GET", "/v1/videos/video_0/content"),
        ("DELETE", "/v1/videos/video_0"),
    ],
)
def test_an_unknown_id_is_404_in_the_error_format(server: RunningServer, method: str, path: str) -> None:
    answer = server.http.request(method, path)
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "video_not_found"


def test_the_served_model_is_listed_and_can_be_looked_up(server: RunningServer) -> None:
    (model,) = server.http.get("/v1/models").json()["data"]
    assert (model["id"], model["object"]) == ("multitalk", "model")
    assert server.http.get("/v1/models/multitalk").json() == model
    assert error_of(server.http.get("/v1/models/sora-2"))["code"] == "model_not_found"


def test_a_preset_gives_the_defaults_and_a_request_may_still_say_otherwise(tmp_path: Path) -> None:
    engine = DrawingEngine()
    with running(config_for(tmp_path, preset="fusionx"), engine) as server:
        server.wait_status(server.create(steps=None), "completed")
        server.wait_status(server.create(steps="3", text_guidance="2"), "completed")
        shown = server.http.get("/v1/models").json()["data"][0]["defaults"]
        form = server.http.get("/openapi.json").json()["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert engine.requests[0].sampling == Sampling(steps=8, text_guidance=1, audio_guidance=2, shift=2)
    assert engine.requests[1].sampling == Sampling(steps=3, text_guidance=2, audio_guidance=2, shift=2)
    assert (shown["steps"], shown["text_guidance"], shown["shift"]) == (8, 1, 2)
    assert form["multipart/form-data"]["schema"]["properties"]["steps"]["default"] == 8


def test_the_seed_minus_one_draws_one_and_tells_it(server: RunningServer, engine: DrawingEngine) -> None:
    shown = [server.post(seed="-1").json()["seed"] for _ in range(2)]
    assert shown[0] != shown[1]
    assert all(0 <= seed < 2**32 for seed in shown)
    assert server.post().json()["seed"] == 42
    eventually(lambda: len(engine.requests) == 3, "all are made")
    assert [request.sampling.seed for request in engine.requests] == [*shown, 42]


@pytest.mark.parametrize("seed", ["-2", str(2**32), "1.5", "random"])
def test_other_seeds_out_of_range_are_refused(server: RunningServer, seed: str) -> None:
    answer = server.post(seed=seed)
    assert (answer.status_code, error_of(answer)["param"]) == (400, "seed")
