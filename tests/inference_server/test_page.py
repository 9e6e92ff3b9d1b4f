"""The page at /, used as a person would: from a picture and a voice to a video, and what is told on the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from inference.generation import GenerationRequest, MediaInfo, VideoPlan
from inference_server.browser import fill, picture, set_steps, voice
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, loading, running
from support.clock import Clock

pytestmark = pytest.mark.timeout(120)


def test_a_person_makes_a_video_sees_its_progress_and_plays_it(
    held: RunningServer, gate: ThreadGate, page: Page
) -> None:
    fill(page, held, voice(0.8), voice(0.8))
    set_steps(page, 4)
    page.click("#send")
    gate.allow(2)
    expect(page.locator("#state")).to_have_text("Being made 50 %")
    expect(page.locator("#progress")).to_have_js_property("value", 50)
    expect(page).to_have_title("Being made 50 % – MultiTalk")
    gate.open()
    expect(page.locator("#state")).to_have_text("Done")
    expect(page.locator("#left")).to_have_text("0.8 s, 64 × 48 pixels")
    expect(page.locator("#video")).to_have_js_property("videoWidth", 64)
    assert page.evaluate("document.getElementById('video').duration") == pytest.approx(0.8, abs=0.1)
    (video,) = held.http.get("/v1/videos").json()["data"]
    expect(page).to_have_url(f"{held.url}/#{video['id']}")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == f"{video['id']}.mp4"


def test_the_result_comes_into_view_and_takes_the_keyboard(held: RunningServer, gate: ThreadGate, page: Page) -> None:
    page.set_viewport_size({"width": 375, "height": 500})
    fill(page, held, voice())
    page.click("#send")
    expect(page.locator("#state")).to_be_focused()
    expect(page.locator("#state")).to_be_in_viewport()
    gate.open()
    expect(page.locator("#state")).to_have_text("Done")
    expect(page.locator("#state")).to_be_focused()
    expect(page.locator("#video")).to_be_in_viewport()


def test_who_fills_in_the_next_form_is_not_taken_away_from_it(
    held: RunningServer, gate: ThreadGate, page: Page
) -> None:
    fill(page, held, voice())
    page.click("#send")
    expect(page.locator("#state")).to_have_text(re.compile("Being made"))
    page.focus("#prompt")
    gate.open()
    expect(page.locator("#state")).to_have_text("Done")
    expect(page.locator("#prompt")).to_be_focused()


def test_a_person_cancels_a_video(held: RunningServer, gate: ThreadGate, page: Page) -> None:
    fill(page, held)
    page.click("#send")
    gate.wait_for_arrival(1)
    page.click("#cancel")
    expect(page.locator("#state")).to_have_text("Cancelled")
    assert held.http.get("/v1/videos").json()["data"][0]["status"] == "cancelled"


def test_what_it_will_be_and_how_long_it_takes_is_told_before_it_is_sent(
    tmp_path: Path, gate: ThreadGate, page: Page
) -> None:
    clock = Clock()
    with running(config_for(tmp_path), DrawingEngine(gate), clock=clock) as server:
        fill(page, server, voice(2.0))
        cost = page.locator("#cost")
        expect(cost).to_have_text(re.compile(r"64 × 48 pixels and 50 frames \(2 s\).*once the first video is made"))
        video_id = server.create(steps="1")
        gate.wait_for_arrival(1)
        clock.now_s += 60
        gate.allow(1)
        server.wait_status(video_id, "completed")
        set_steps(page, 20)
        expect(cost).to_have_text(re.compile("It takes about 20 minutes"))
        server.create(steps="10")
        page.fill("#seconds", "1")
        expect(cost).to_have_text(re.compile(r"25 frames \(1 s\).*One other video comes first. Ready in about 30 min"))


class SquareEngine(DrawingEngine):
    """Makes square videos of every picture."""

    def plan_video(self, request: GenerationRequest, media: MediaInfo) -> VideoPlan:
        return VideoPlan(64, 64, 25, 1.0)


@pytest.mark.parametrize(
    ("width", "height", "told"),
    [
        (80, 64, "20 % of the picture is cut off, left and right."),
        (64, 80, "20 % of the picture is cut off, at the top and the bottom."),
        (64, 62, None),
    ],
)
def test_what_is_cut_off_is_told_before_it_is_sent(
    tmp_path: Path, page: Page, width: int, height: int, told: str | None
) -> None:
    with running(config_for(tmp_path), SquareEngine()) as server:
        fill(page, server, image=picture(width, height))
        cost = page.locator("#cost")
        expect(cost).to_have_text(re.compile("64 × 64 pixels"))
        if told:
            expect(cost).to_contain_text(told)
        else:
            expect(cost).not_to_contain_text("cut off")


def test_values_of_the_server_are_shown_in_the_fields(server: RunningServer, page: Page) -> None:
    page.goto(server.url)
    for name, value in (("steps", "40"), ("seed", "42"), ("text_guidance", "5"), ("audio_guidance", "4")):
        expect(page.locator(f"[name={name}]")).to_have_attribute("placeholder", value)


def test_the_upload_tells_how_far_it_is_and_can_be_stopped(server: RunningServer, page: Page) -> None:
    fill(page, server, voice(5.0), image=picture(700, 700))
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 8_000}
    network.send("Network.emulateNetworkConditions", slow)
    page.click("#send")
    expect(page.locator("#upload-left")).to_have_text(re.compile(r"MiB of 0\.\d MiB, (a few|about \d+) seconds left"))
    assert 0 < page.evaluate("document.getElementById('uploaded').value") < 1
    expect(page.locator("#send")).to_be_disabled()
    page.click("#stop-upload")
    expect(page.locator("#send")).to_be_enabled()
    expect(page.locator("#error")).to_be_hidden()
    assert server.http.get("/v1/videos").json()["data"] == []


def test_a_server_that_still_loads_says_so_until_it_is_ready(
    tmp_path: Path, gate: ThreadGate, page: Page, complaints: list[str]
) -> None:
    def load(*_: object) -> DrawingEngine:
        gate.wait(lambda: False)
        return DrawingEngine()

    with loading(config_for(tmp_path), load) as server:
        page.goto(server.url)
        expect(page.locator("#server")).to_have_text("Not ready yet: loading the engine.")
        gate.open()
        expect(page.locator("#server")).to_be_hidden()
        expect(page.locator("#announcer")).to_have_text("The server is ready.")
    assert [each for each in complaints if "503" not in each] == []
    complaints.clear()
