"""The page at /, used in headless Chromium as a person would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_server.browser import STARTS_WITHIN_S, Browser, browser, installed
from inference_server.drawing_engine import ThreadGate
from inference_server.harness import TIMEOUT_S, RunningServer
from inference_server.media import png, wav
from support.waiting import eventually

FOUND = installed()
pytestmark = [
    pytest.mark.skipif(
        FOUND is None, reason="no headless browser: install chromium and chromium-driver to test the page"
    ),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert FOUND is not None
    with browser(*FOUND, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    path.write_bytes(png(64, 48))
    return path


def fill(page: Browser, server: RunningServer, face: Path, *voices: Path) -> None:
    page.open(server.url + "/")
    page.type("[name=input_reference]", str(face))
    for number, voice in enumerate(voices):
        page.type("[name=audio]", str(voice), number)


def shows(page: Browser, state: str, timeout_s: float = TIMEOUT_S) -> None:
    eventually(lambda: page.text("#state"), f"the page says {state}", timeout_s, wanted=lambda text: text == state)


def test_a_person_makes_a_video_sees_its_progress_and_plays_it(
    page: Browser, held: RunningServer, gate: ThreadGate, face: Path, tmp_path: Path
) -> None:
    voice = tmp_path / "voice.wav"
    voice.write_bytes(wav(0.8))
    fill(page, held, face, voice, voice)
    assert eventually(lambda: page.run("return document.getElementById('preview').naturalWidth"), "a preview") == 64
    page.run("document.querySelector('details').open = true")
    page.type("[name=steps]", "4")
    page.click("#send")
    gate.allow(2)
    shows(page, "Being made 50 %", STARTS_WITHIN_S)
    gate.open()
    shows(page, "Done")
    assert eventually(lambda: page.run("return document.getElementById('video').videoWidth"), "a video") == 64
    assert page.run("return document.getElementById('video').duration") == pytest.approx(0.8, abs=0.1)
    (video,) = held.http.get("/v1/videos").json()["data"]
    assert page.run("return document.getElementById('download').pathname") == f"/v1/videos/{video['id']}/content"
    assert page.complaints() == []


def test_a_refusal_is_shown_and_the_form_can_be_sent_again(page: Browser, server: RunningServer, face: Path) -> None:
    face.write_bytes(b"not a picture")
    fill(page, server, face)
    page.click("#send")
    shown = eventually(lambda: page.text("#error"), "an error is shown")
    assert shown.startswith("input_reference: is not a picture")
    assert page.run("return document.getElementById('send').disabled") is False
    (complaint,) = page.complaints()
    assert "400" in complaint


def test_a_person_cancels_a_video(page: Browser, held: RunningServer, gate: ThreadGate, face: Path) -> None:
    fill(page, held, face)
    page.click("#send")
    gate.wait_for_arrival(1)
    eventually(lambda: page.text("#state").startswith("Being made"), "the page says that it is being made")
    page.click("#cancel")
    shows(page, "Cancelled")
    assert held.http.get("/v1/videos").json()["data"][0]["status"] == "cancelled"


def test_the_api_page_lists_every_operation_and_its_fields(page: Browser, server: RunningServer) -> None:
    page.open(server.url + "/docs")
    shown = eventually(lambda: page.text("main"), "the page has come", wanted=lambda text: "GET /metrics" in text)
    for words in ("POST /v1/videos", "DELETE /v1/videos/{video_id}", "audio_guidance", "default 40", "para | add"):
        assert words in shown
    assert page.run("return document.getElementById('origin').textContent") == server.url
    assert page.complaints() == []
