"""Voices on the page at /: files and recordings, how long they are, and what is sent of them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from inference_server.browser import fill, picture, voice
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer

pytestmark = pytest.mark.timeout(120)

FIRST, SECOND = "[data-person='1'].voice", "[data-person='2'].voice"
REFUSE_MICROPHONE = """
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "%s"));
"""
PLAIN_HTTP = """
    Object.defineProperty(Navigator.prototype, "mediaDevices", {value: undefined});
    Object.defineProperty(globalThis, "isSecureContext", {value: false});
"""


def send(page: Page) -> None:
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Done")


def test_a_voice_can_be_heard_and_its_length_is_shown(server: RunningServer, page: Page) -> None:
    fill(page, server, voice(2.5))
    expect(page.locator(f"{FIRST} .length")).to_have_text("2.5 s")
    page.evaluate("document.querySelector('audio').play()")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(2.5, abs=0.05)
    expect(page.locator(f"{FIRST} audio")).to_have_js_property("paused", False)
    page.click(f"{FIRST} .remove")
    expect(page.locator(f"{FIRST} .heard")).to_be_hidden()
    expect(page.locator("#voice-1")).to_be_focused()
    assert page.evaluate("document.getElementById('voice-1').files.length") == 0


def test_a_voice_that_is_longer_than_the_server_takes_is_marked_at_once(server: RunningServer, page: Page) -> None:
    fill(page, server, voice(6.5))
    warning = page.locator(f"{FIRST} .warning")
    expect(warning).to_have_text("Longer than the 6 s that this server takes. Choose a shorter one.")
    page.set_input_files("#voice-1", voice(5.5))
    expect(warning).to_be_hidden()


def test_a_voice_is_recorded_heard_and_sent(server: RunningServer, page: Page, engine: DrawingEngine) -> None:
    fill(page, server)
    page.click(f"{FIRST} .record")
    expect(page.locator(f"{FIRST} .timer")).to_have_text("1 s of 6 s at most")
    page.click(f"{FIRST} .record")
    expect(page.locator(f"{FIRST} .length")).to_have_text(re.compile(r"^[1-5](\.\d)? s$"))
    expect(page.locator(f"{FIRST} .record")).to_have_text("Record")
    send(page)
    (speaker,) = engine.requests[-1].speakers
    assert speaker.audio is not None
    seconds = float(server.http.get("/v1/videos").json()["data"][0]["seconds"])
    assert seconds == pytest.approx(page.evaluate("document.querySelector('audio').duration"), abs=0.15)


def test_a_recording_ends_by_itself_where_the_server_takes_no_more(server: RunningServer, page: Page) -> None:
    fill(page, server)
    page.click(f"{FIRST} .record")
    expect(page.locator(f"{FIRST} .record")).to_have_text("Stop recording")
    expect(page.locator(f"{FIRST} .length")).to_have_text(re.compile(r"^5(\.\d)? s$"))
    expect(page.locator(f"{FIRST} .warning")).to_be_hidden()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("NotAllowedError", "The browser does not let this page use the microphone."),
        ("NotFoundError", "No microphone was found."),
        ("AbortError", "The microphone cannot be used: no"),
    ],
)
def test_a_microphone_that_cannot_be_used_is_told(server: RunningServer, page: Page, error: str, told: str) -> None:
    page.add_init_script(REFUSE_MICROPHONE % error)
    fill(page, server)
    page.click(f"{FIRST} .record")
    expect(page.locator(f"{FIRST} .warning")).to_contain_text(told)
    expect(page.locator(f"{FIRST} .record")).to_have_text("Record")


def test_without_https_the_page_says_why_it_cannot_record(server: RunningServer, page: Page) -> None:
    page.add_init_script(PLAIN_HTTP)
    fill(page, server)
    expect(page.locator(f"{FIRST} .record")).to_be_hidden()
    expect(page.locator(f"{FIRST} .timer")).to_have_text("To record here, open this page over HTTPS, or as localhost.")


def test_of_two_people_one_stays_silent(server: RunningServer, page: Page, engine: DrawingEngine) -> None:
    fill(page, server)
    expect(page.locator(SECOND)).to_be_hidden()
    page.check("[name=people][value='2']")
    page.set_input_files("#voice-2", voice(0.4))
    expect(page.locator(f"{FIRST} .silence")).to_be_visible()
    expect(page.locator(f"{SECOND} .silence")).to_be_hidden()
    expect(page.locator("#both")).to_be_hidden()
    send(page)
    first, second = engine.requests[-1].speakers
    assert first.audio is None
    assert second.audio is not None


def test_two_voices_one_after_the_other(server: RunningServer, page: Page, engine: DrawingEngine) -> None:
    fill(page, server, voice(0.4), voice(0.6))
    expect(page.locator("[name=people][value='2']")).to_be_checked()
    page.select_option("#mode", "add")
    expect(page.locator("#cost")).to_contain_text("25 frames (1 s)")
    send(page)
    assert engine.requests[-1].audio_mode == "add"


def test_a_second_voice_is_not_sent_for_one_person(server: RunningServer, page: Page, engine: DrawingEngine) -> None:
    fill(page, server, voice(0.4), voice(0.6))
    page.check("[name=people][value='1']")
    send(page)
    assert len(engine.requests[-1].speakers) == 1


def test_a_voice_that_the_browser_cannot_play_is_sent_as_it_is(
    server: RunningServer, page: Page, complaints: list[str]
) -> None:
    fill(page, server, {"name": "note.amr", "mimeType": "audio/amr", "buffer": b"#!AMR\n"}, image=picture())
    expect(page.locator(f"{FIRST} .length")).to_have_text("This browser cannot play it; it is sent as it is.")
    expect(page.locator("#cost")).to_have_text(re.compile(r"^The video will have 64 × 48 pixels\. 0\.1 MiB to send\.$"))
    expect(page.locator(f"{FIRST} audio")).to_be_hidden()
