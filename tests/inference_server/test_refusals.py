"""Wrong requests: refused at once, in the API's error format, with the field and the cure."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, error_of
from inference_server.media import png, wav

BAD: dict[str, tuple[dict[str, Any], int, str, str | None]] = {
    "no prompt": ({"prompt": None}, 400, "missing_parameter", "prompt"),
    "blank prompt": ({"prompt": "  "}, 400, "missing_parameter", "prompt"),
    "prompt too long": ({"prompt": "x" * 4001}, 400, "invalid_value", "prompt"),
    "text beyond all bounds": ({"prompt": "x" * 40_000}, 400, "text_too_long", "prompt"),
    "unknown model": ({"model": "sora-2"}, 404, "model_not_found", "model"),
    "unknown field": ({"stepz": "3"}, 400, "unknown_parameter", "stepz"),
    "field given twice": ({"steps": ["3", "4"]}, 400, "duplicate_parameter", "steps"),
    "steps not a number": ({"steps": "many"}, 400, "invalid_value", "steps"),
    "too many steps": ({"steps": "101"}, 400, "invalid_value", "steps"),
    "negative seed": ({"seed": "-2"}, 400, "invalid_value", "seed"),
    "guidance that is no number": ({"text_guidance": "nan"}, 400, "invalid_value", "text_guidance"),
    "unknown size": ({"size": "10x10"}, 400, "invalid_value", "size"),
    "unknown audio mode": ({"audio_mode": "both"}, 400, "invalid_value", "audio_mode"),
    "less than a frame": ({"seconds": "5e-324", "voices": ()}, 400, "invalid_value", "seconds"),
    "seconds of zero": ({"seconds": "0"}, 400, "invalid_value", "seconds"),
    "picture that is text": ({"image": b"not a picture"}, 400, "invalid_image", "input_reference"),
    "picture cut short": ({"image": png()[:-30]}, 400, "invalid_image", "input_reference"),
    "picture too large": ({"image": png(1200, 1000)}, 400, "invalid_image", "input_reference"),
    "picture too small": ({"image": png(16, 16)}, 400, "invalid_image", "input_reference"),
    "a size of the other orientation": ({"size": "720x1280"}, 400, "invalid_value", "size"),
    "voice that is text": ({"voices": (b"not a voice",)}, 400, "invalid_audio", "audio"),
    "voice without a sample": ({"voices": (wav(0),)}, 400, "invalid_audio", "audio"),
    "voice that is a picture": ({"voices": (png(),)}, 400, "invalid_audio", "audio"),
    "one good voice and one bad": ({"voices": (wav(), b"RIFF....WAVE")}, 400, "invalid_audio", "audio"),
    "data URL without base64": ({"voices": (b"data:audio/wav,abc",)}, 400, "invalid_audio", "audio"),
    "data URL with broken base64": ({"voices": (b"data:audio/wav;base64,#",)}, 400, "invalid_audio", "audio"),
    "three people": ({"voices": (wav(), wav(), wav())}, 400, "too_many_people", "audio"),
    "voice too long": ({"voices": (wav(6.5),)}, 400, "too_long", "audio"),
    "two voices too long together": ({"voices": (wav(3.5), wav(3.5)), "audio_mode": "add"}, 400, "too_long", "audio"),
    "silence too long": ({"voices": (), "seconds": "7"}, 400, "too_long", "seconds"),
    "silent person in add": ({"voices": (wav(), b"none"), "audio_mode": "add"}, 400, "invalid_value", "audio_mode"),
    "box outside the picture": ({"box": "0,0,49,10"}, 400, "box_outside_image", "box"),
    "box with negative corner": ({"box": "-1,0,40,10"}, 400, "box_outside_image", "box"),
    "box upside down": ({"box": "40,0,10,10"}, 400, "box_outside_image", "box"),
    "box of infinite size": ({"box": "0,0,inf,10"}, 400, "box_outside_image", "box"),
    "box that is no number": ({"box": "a,b,c,d"}, 400, "invalid_value", "box"),
    "two boxes for one person": ({"box": "0,0,10,10,0,20,10,30"}, 400, "invalid_value", "box"),
    "one box for two people": ({"box": "0,0,9,9", "voices": (wav(), wav())}, 400, "invalid_value", "box"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_wrong_request_is_refused_and_names_the_field(
    server: RunningServer, engine: DrawingEngine, case: tuple[dict[str, Any], int, str, str | None]
) -> None:
    changes, status, code, param = case
    answer = server.post(**changes)
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert param is None or param in error["message"]
    assert_nothing_left(server)
    assert engine.requests == []


def assert_nothing_left(server: RunningServer) -> None:
    assert server.service.queue.counts().unfinished == 0
    assert list(server.service.scratch.root.glob("video_*")) == []


def test_a_request_without_picture_is_refused(server: RunningServer) -> None:
    answer = server.http.post("/v1/videos", files=[("audio", ("v.wav", wav()))], data={"prompt": "p"})
    assert answer.status_code == 400
    assert (error_of(answer)["code"], error_of(answer)["param"]) == ("missing_parameter", "input_reference")
    assert_nothing_left(server)


def test_a_file_in_a_text_field_is_refused(server: RunningServer) -> None:
    answer = server.http.post("/v1/videos", files=[("prompt", ("p.txt", b"words"))])
    assert error_of(answer)["code"] == "unexpected_file"


def test_text_that_is_not_utf8_is_refused(server: RunningServer) -> None:
    answer = server.http.post("/v1/videos", files=[("prompt", (None, b"\xff\xfe"))])
    assert (error_of(answer)["code"], error_of(answer)["param"]) == ("not_utf8", "prompt")


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "text/plain", ""])
def test_another_content_type_is_415(server: RunningServer, content_type: str) -> None:
    answer = server.http.post("/v1/videos", content=b"{}", headers={"content-type": content_type})
    assert answer.status_code == 415
    assert error_of(answer)["code"] == "unsupported_media_type"
    assert_nothing_left(server)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_body_beyond_the_limit_is_413(server: RunningServer, announced: bool) -> None:
    body = b"x" * (2 * 2**20)
    content = body if announced else iter([body[:1000], body[1000:]])
    answer = server.http.post(
        "/v1/videos", content=content, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code in (400, 413)
    if announced:
        assert (answer.status_code, error_of(answer)["code"]) == (413, "upload_too_large")
    assert_nothing_left(server)


def test_a_large_voice_is_413_also_when_its_length_is_not_announced(server: RunningServer) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="audio"; filename="v"\r\n\r\n'
    chunks = iter([head, *(b"v" * 65_536 for _ in range(20))])
    answer = server.http.post("/v1/videos", content=chunks, headers={"content-type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, error_of(answer)["code"]) == (413, "upload_too_large")
    assert_nothing_left(server)


def test_pictures_and_voices_may_come_as_data_urls(server: RunningServer) -> None:
    def url(kind: str, content: bytes) -> bytes:
        return f"data:{kind};base64,{base64.b64encode(content).decode()}".encode()

    video_id = server.create(image=url("image/png", png()), voices=(url("audio/wav", wav()),))
    server.wait_status(video_id, "completed")


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [("/v1/nothing", "GET", 404, "path_not_found"), ("/v1/videos", "PUT", 405, "method_not_allowed")],
)
def test_wrong_paths_and_methods_are_answered_in_the_error_format(
    server: RunningServer, path: str, method: str, status: int, code: str
) -> None:
    answer = server.http.request(method, path)
    assert answer.status_code == status
    assert error_of(answer)["code"] == code


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/videos", "GET, HEAD, POST"), ("/v1/videos/video_0", "DELETE, GET, HEAD"), ("/", "GET, HEAD")],
)
def test_a_wrong_method_is_told_all_the_right_ones(server: RunningServer, path: str, methods: str) -> None:
    assert server.http.request("PATCH", path).headers["allow"] == methods


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"order": "up"}, {"after": "../etc"}])
def test_a_wrong_query_is_400_and_names_the_parameter(server: RunningServer, query: dict[str, str]) -> None:
    answer = server.http.get("/v1/videos", params=query)
    assert answer.status_code == 400
    assert error_of(answer)["param"] == next(iter(query))


def test_a_variant_that_is_not_kept_is_refused(server: RunningServer) -> None:
    video_id = server.create()
    server.wait_status(video_id, "completed")
    answer = server.http.get(f"/v1/videos/{video_id}/content", params={"variant": "spritesheet"})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "variant")
    assert "'video', 'thumbnail' or 'partial'" in error_of(answer)["message"]
