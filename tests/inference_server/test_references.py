"""Pictures and voices as clients send them: files, data URLs in every place, and texts that are neither."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from inference.media.limits import INVALID
from inference.server.errors import ApiError
from inference.server.references import unwrap
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, error_of
from inference_server.media import png, wav

DATA = base64.b64encode(png()).decode()
WRAPPED = base64.encodebytes(png()).decode()
URL = f"data:image/png;base64,{DATA}"
VOICE = "data:audio/wav;base64," + base64.b64encode(wav()).decode()


@pytest.mark.parametrize(
    "text",
    [
        URL, f"data:;base64,{DATA}", f"DATA:image/png;BASE64,{DATA}", f"data:image/png;name=a.png;base64,{DATA}",
        f"  {URL}\n", f"data:image/png;base64,{WRAPPED}", f"data:image/png;base64,{WRAPPED}".replace("\n", "\r\n"),
    ],
    ids=["plain", "no type", "capitals", "a parameter", "white space around", "lines", "lines of Windows"],
)  # fmt: skip
def test_a_data_url_becomes_its_bytes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "part"
    path.write_text(text, newline="")
    unwrap(path, "input_reference")
    assert path.read_bytes() == png()


def test_a_data_url_larger_than_one_piece_becomes_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_001
    path = tmp_path / "part"
    path.write_bytes(b"data:audio/wav;base64," + base64.encodebytes(content))
    unwrap(path, "audio")
    assert path.read_bytes() == content


ADDRESS, PYTHON, OBJECT = "addresses are not fetched", "text of a Python object", "text of an object"
BASE64, NAME, STORED = "base64 without the head of a data URL", "the name of a file", "files are not stored here"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://example.com/face.png", ADDRESS), ("HTTP://10.0.0.1/a", ADDRESS), ("file:///etc/passwd", ADDRESS),
        ("s3://bucket/face.png", ADDRESS), ("blob://localhost/1", ADDRESS),
        ("<_io.BufferedReader name='voice.wav'>", PYTHON), ("<PIL.Image.Image image mode=RGB at 0x7f>", PYTHON),
        ("<http.client.HTTPResponse object at 0x7f>", PYTHON), ("b'\\x89PNG'", PYTHON), ("bytearray(b'1')", PYTHON),
        ("PosixPath('/tmp/face.png')", OBJECT), ("('face.png', b'\\x89PNG')", PYTHON), ("[object Object]", OBJECT),
        ("[object File]", OBJECT),
        ('{"image_url": "data:image/png;base64,AAAA"}', "is JSON"), ("{'url': 'x'}", "is JSON"),
        (DATA, BASE64), (WRAPPED, BASE64), (base64.urlsafe_b64encode(wav()).decode(), BASE64), ("QUJD" * 8, BASE64),
        ("face.png", NAME), ("@face.png", NAME), ("/home/me/my face.jpeg", NAME), ("C:\\photos\\me.png", NAME),
        ("~/voice.wav", NAME), ("./a/b.wav", NAME), ("file-abc123", STORED),
        ("data:image/png,%89PNG", "not base64-encoded"), ("data:image/png;base64,@@@@", "cannot be decoded"),
        ("data:image/png;base64," + DATA[:-2], "cannot be decoded"),
    ],
)  # fmt: skip
def test_other_text_is_named_with_the_cure(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "part"
    for field in INVALID:
        path.write_text(text)
        with pytest.raises(ApiError) as caught:
            unwrap(path, field)
        assert (caught.value.status, caught.value.param) == (400, field)
        assert reason in caught.value.message
        assert reason == "cannot be decoded" or "data URL" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [png(), wav(), b"", b"RIFF", b"a person talks to the camera now", b"ID3\x03", b"OggS\x00", b"\xff\xd8\xff\xe0"],
)
def test_what_may_be_a_file_is_the_decoders_matter(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part"
    path.write_bytes(content)
    unwrap(path, "audio")
    assert path.read_bytes() == content


Parts = list[tuple[str, tuple[str | None, bytes | str]]]
NODE_OBJECT: Parts = [("prompt", (None, "p")), ("input_reference[image_url]", (None, URL))]
"""As openai 7.59.0 of npm sends {input_reference: {image_url}}, and 3.57.0 of PyPI the same in extra_body."""


@pytest.mark.parametrize(
    ("parts", "people"),
    [
        (NODE_OBJECT, 1),
        ([("prompt", (None, "p")), ("input_reference[image_url][url]", (None, URL))], 1),
        ([*NODE_OBJECT, ("audio[]", ("a.wav", wav())), ("audio[]", ("b.wav", wav()))], 2),
        ([*NODE_OBJECT, ("audio[0]", (None, VOICE)), ("audio[1]", (None, "none"))], 2),
        ([*NODE_OBJECT, ("audio[audio_url]", (None, VOICE))], 1),
        ([*NODE_OBJECT, ("audio[][audio_url]", (None, VOICE)), ("audio[][audio_url]", (None, VOICE))], 2),
        (
            [
                *NODE_OBJECT,
                ("box[][]", (None, "0")),
                ("box[][]", (None, "0")),
                ("box[][]", (None, "48")),
                ("box[][]", (None, "64")),
            ],
            1,
        ),
    ],
    ids=[
        "object",
        "object in an object",
        "files in a list",
        "numbered",
        "voice object",
        "voice objects",
        "a list of lists",
    ],
)
def test_objects_and_lists_of_openais_clients_are_read(
    server: RunningServer, engine: DrawingEngine, parts: Parts, people: int
) -> None:
    answer = server.http.post("/v1/videos", files=parts)
    assert answer.status_code == 200, answer.text
    server.wait_status(answer.json()["id"], "completed")
    (got,) = engine.requests
    assert len(got.speakers) == people


@pytest.mark.parametrize(
    ("name", "param", "reason"),
    [
        ("input_reference[file_id]", "input_reference", "files are not stored here; send the file itself"),
        ("audio[file_id]", "audio", "files are not stored here; send the file itself"),
        ("input_reference[mask]", "input_reference", "has no key 'mask'"),
        ("prompt[text]", "prompt[text]", "is not a field of this API"),
        ("prompt]", "prompt]", "is not a field of this API"),
    ],
)
def test_objects_without_a_file_are_refused_under_their_field(
    server: RunningServer, name: str, param: str, reason: str
) -> None:
    parts = [("prompt", (None, "p")), ("input_reference", ("face.png", png())), (name, (None, "file-1"))]
    answer = server.http.post("/v1/videos", files=parts)  # type: ignore[arg-type]
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)
    assert reason in error_of(answer)["message"]


def test_json_is_refused_with_what_to_send(server: RunningServer) -> None:
    answer = server.http.post("/v1/videos", json={"prompt": "p", "input_reference": {"image_url": URL}})
    assert (answer.status_code, error_of(answer)["code"]) == (415, "unsupported_media_type")
    assert "multipart/form-data" in error_of(answer)["message"]
