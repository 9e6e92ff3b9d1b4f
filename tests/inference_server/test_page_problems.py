"""What the page at / says when something is wrong: at the field, in its own words, and so that it can be sent again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from inference_server.browser import fill, picture, voice
from inference_server.drawing_engine import ThreadGate
from inference_server.harness import RunningServer

pytestmark = pytest.mark.timeout(120)

NOTHING: FilePayload = {"name": "notes.png", "mimeType": "image/png", "buffer": b"not a picture"}
NOISE: FilePayload = {"name": "noise.wav", "mimeType": "audio/wav", "buffer": b"not a voice"}
LARGE: FilePayload = {"name": "large.wav", "mimeType": "audio/wav", "buffer": bytes(2 * 2**20)}


def no_picture(page: Page) -> None:
    page.set_input_files("#picture", [])


def wrong_steps(page: Page) -> None:
    page.evaluate("document.getElementById('steps').value = 1000")


@pytest.mark.parametrize(
    ("image", "voices", "change", "field", "told"),
    [
        pytest.param(picture(), [], no_picture, "#picture", "Choose a picture first.", id="no picture"),
        pytest.param(
            NOTHING, [], None, "#picture", "The picture is not a picture that can be decoded", id="not a picture"
        ),
        pytest.param(picture(), [NOISE], None, "#voice-1", "The voice ", id="not a voice"),
        pytest.param(
            picture(),
            [voice(0.4), voice(6.5)],
            None,
            "#voice-2",
            "This voice has 6.5 s, and the server takes 6 s at most.",
            id="second voice too long",
        ),
        pytest.param(
            picture(),
            [LARGE],
            None,
            "#picture",
            "The files have 2 MiB, and the server takes 1 MiB",
            id="large",
        ),
        pytest.param(
            picture(),
            [],
            lambda page: page.fill("#prompt", " "),
            "#prompt",
            "Say in a few words what the video shows.",
            id="no words",
        ),
        pytest.param(picture(), [], wrong_steps, "#steps", "100", id="a number out of bounds, in a closed part"),
    ],
)
def test_an_error_stands_at_its_field(
    server: RunningServer,
    page: Page,
    complaints: list[str],
    image: FilePayload,
    voices: list[FilePayload],
    change: Callable[[Page], None] | None,
    field: str,
    told: str,
) -> None:
    fill(page, server, *voices, image=image)
    for number in range(1, len(voices) + 1):
        expect(page.locator(f"[data-person='{number}'] .length")).not_to_have_text("")
    if change:
        change(page)
    page.click("#send")
    error = page.locator("#error")
    expect(error).to_contain_text(told)
    for name in ("input_reference", "audio:", "prompt:"):
        expect(error).not_to_contain_text(name)
    control = page.locator(field)
    expect(control).to_be_focused()
    expect(control).to_have_attribute("aria-invalid", "true")
    text = page.locator(f"#{control.get_attribute('aria-describedby')}")
    expect(text).to_be_visible()
    expect(text).to_have_text(error.text_content() or "")
    expect(page.locator("#send")).to_be_enabled()
    assert [each for each in complaints if "400" not in each] == []
    complaints.clear()


def test_after_an_error_the_form_can_be_sent_again_and_the_error_goes(
    held: RunningServer, page: Page, complaints: list[str]
) -> None:
    fill(page, held, image=NOTHING)
    expect(page.locator("#unseen")).to_be_visible()
    expect(page.locator("#stage")).to_be_hidden()
    page.click("#send")
    expect(page.locator("#error")).to_be_visible()
    complaints.clear()
    page.set_input_files("#picture", picture())
    page.click("#send")
    expect(page.locator("#job")).to_be_visible()
    expect(page.locator("#error")).to_be_hidden()
    expect(page.locator("[aria-invalid]")).to_have_count(0)


def test_a_full_queue_is_told(held: RunningServer, gate: ThreadGate, page: Page, complaints: list[str]) -> None:
    fill(page, held)
    for _ in range(held.service.config.max_jobs):
        held.create()
    page.click("#send")
    expect(page.locator("#error")).to_contain_text("The queue is full: 4 videos are unfinished.")
    assert [each for each in complaints if "429" not in each] == []
    complaints.clear()


def test_a_server_that_does_not_answer_is_told(server: RunningServer, page: Page, complaints: list[str]) -> None:
    fill(page, server)
    page.route("**/v1/videos", lambda route: route.abort())
    page.click("#send")
    expect(page.locator("#error")).to_have_text("The server does not answer.")
    page.unroute("**/v1/videos")
    complaints.clear()
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Done")


def test_a_video_that_fails_says_why(held: RunningServer, gate: ThreadGate, page: Page) -> None:
    fill(page, held, voice())
    page.click("#send")
    gate.wait_for_arrival(1)
    (folder,) = held.service.scratch.root.glob("video_*")
    remove_uploads(folder)
    gate.open()
    expect(page.locator("#state")).to_have_text("Failed")
    expect(page.locator("#reason")).to_contain_text("The voice is not audio that can be decoded")


def remove_uploads(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
