"""A clip on the page at /: chosen, shown by its first picture, sent, with boxes on it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
from playwright.sync_api import FilePayload, Page, expect

from inference.generation import Box
from inference_media.clips import Film, steady
from inference_server.browser import fill, picture, violations, voice
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, config_for, running

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def takes_clips() -> DrawingEngine:
    return DrawingEngine(clips=True)


@pytest.fixture
def dubbing(tmp_path_factory: pytest.TempPathFactory, takes_clips: DrawingEngine) -> Iterator[RunningServer]:
    with running(config_for(tmp_path_factory.mktemp("dubbing")), takes_clips) as server:
        yield server


def clip(count: int = 20, form: str = "webm", codec: str = "libvpx", turned: float | None = None) -> FilePayload:
    """640 x 320 pixels."""
    film = Film(form, codec, steady(10, count), Fraction(10), Fraction(1, 1000), 640, 320, turned=turned)
    return {"name": f"clip.{form}", "mimeType": f"video/{form}", "buffer": film.content()}


def test_a_clip_is_shown_by_its_first_picture_and_becomes_a_video(
    dubbing: RunningServer, page: Page, takes_clips: DrawingEngine
) -> None:
    fill(page, dubbing, voice(), image=clip())
    expect(page.locator("#clip")).to_be_visible()
    expect(page.locator("#preview")).to_be_hidden()
    expect(page.locator("#cost")).to_contain_text("The video will have")
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Done")
    assert takes_clips.requests[-1].image.name.startswith("part-")


def test_boxes_are_placed_on_the_first_picture_of_a_clip(
    dubbing: RunningServer, page: Page, takes_clips: DrawingEngine
) -> None:
    fill(page, dubbing, voice(0.4), voice(0.4), image=clip())
    box = page.locator(".box").first
    box.focus()
    box.press("ArrowRight")
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Done")
    first, second = (speaker.box for speaker in takes_clips.requests[-1].speakers)
    assert first is not None
    assert (first.left, first.right) == (22, 310)
    assert second == Box(16, 336, 304, 624)


def test_a_picture_takes_the_place_of_a_clip_and_a_clip_that_of_a_picture(dubbing: RunningServer, page: Page) -> None:
    fill(page, dubbing, voice(), image=clip())
    expect(page.locator("#clip")).to_be_visible()
    page.set_input_files("#picture", picture())
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#clip")).to_be_hidden()
    page.set_input_files("#picture", clip())
    expect(page.locator("#clip")).to_be_visible()
    expect(page.locator("#preview")).to_be_hidden()


def test_a_clip_that_is_too_long_is_refused_before_it_is_sent(dubbing: RunningServer, page: Page) -> None:
    fill(page, dubbing, voice(), image=clip(70))
    expect(page.locator("#clip")).to_be_visible()
    page.click("#send")
    expect(page.locator("[data-field=input_reference] .error")).to_have_text(
        "The clip has 7 s, and the server takes 6 s at most."
    )


def test_the_page_asks_for_clips_where_the_weights_take_them(
    dubbing: RunningServer, server: RunningServer, page: Page
) -> None:
    page.goto(dubbing.url)
    expect(page.locator("#reference-kind")).to_have_text("Picture or clip")
    assert "video/mp4" in str(page.locator("#picture").get_attribute("accept"))
    page.set_input_files("#picture", clip())
    expect(page.locator("#clip")).to_be_visible()
    assert violations(page) == []
    page.goto(server.url)
    expect(page.locator("#reference-kind")).to_have_text("Picture")
    assert "video" not in str(page.locator("#picture").get_attribute("accept"))


def test_a_refusal_of_the_server_is_about_the_clip(server: RunningServer, page: Page, complaints: list[str]) -> None:
    fill(page, server, voice(), image=clip())
    page.click("#send")
    problem = page.locator("[data-field=input_reference] .error")
    expect(problem).to_contain_text(
        "The clip is a Matroska or WebM video, and the weights of this server take a picture."
    )
    assert "400 (Bad Request)" in complaints.pop()
