"""Boxes on the picture of the page at /: shown, drawn with mouse, finger and keyboard, and what is then sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple

import pytest
from playwright.sync_api import Browser, Page, expect

from inference.generation import Box
from inference_server.browser import fill, opened, picture, voice
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer

pytestmark = pytest.mark.timeout(120)

WIDTH, HEIGHT = 640, 480
HALVES = (Box(24, 16, 456, 304), Box(24, 336, 456, 624))


@pytest.fixture
def two(server: RunningServer, page: Page) -> Page:
    """The page with a picture of two people."""
    choose_two(page, server)
    return page


def choose_two(page: Page, server: RunningServer) -> None:
    fill(page, server, voice(0.4, "anna.wav"), voice(0.4, "bernd.wav"), image=picture(WIDTH, HEIGHT))
    expect(page.locator(".box").nth(1)).to_be_visible()


def shown(page: Page) -> list[Box]:
    """In pixels of the picture, as they lie on the screen."""
    stage = page.locator("#preview").bounding_box()
    assert stage is not None
    scale = WIDTH / stage["width"]
    boxes = []
    for each in page.locator(".box").all():
        box = each.bounding_box()
        assert box is not None
        left, top = (box["x"] - stage["x"]) * scale, (box["y"] - stage["y"]) * scale
        boxes.append(Box(top, left, top + box["height"] * scale, left + box["width"] * scale))
    return boxes


def near(one: Box, other: Box, by: float = 3.0) -> bool:
    return all(abs(a - b) <= by for a, b in zip(astuple(one), astuple(other), strict=True))


def sent(page: Page, engine: DrawingEngine) -> list[Box | None]:
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Done")
    return [speaker.box for speaker in engine.requests[-1].speakers]


def test_the_boxes_that_the_server_takes_by_itself_are_shown_and_not_sent(two: Page, engine: DrawingEngine) -> None:
    from inference.engine.video.regions import default_boxes

    assert default_boxes(HEIGHT, WIDTH) == HALVES
    assert all(map(near, shown(two), HALVES))
    assert two.locator(".box .tag").all_text_contents() == ["1 anna.wav", "2 bernd.wav"]
    assert sent(two, engine) == [None, None]


def drag_with_mouse(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def drag_with_finger(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    touch = page.context.new_cdp_session(page)
    middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
    for kind, point in (("touchStart", start), ("touchMove", middle), ("touchMove", end), ("touchEnd", None)):
        points = [{"x": point[0], "y": point[1]}] if point else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


Drag = Callable[[Page, tuple[float, float], tuple[float, float]], None]


@pytest.fixture
def phone(browser: Browser, server: RunningServer, complaints: list[str]) -> Iterator[Page]:
    with opened(browser, complaints, viewport={"width": 375, "height": 720}, has_touch=True, is_mobile=True) as tab:
        choose_two(tab, server)
        yield tab


def drag(page: Page, how: Drag, at: tuple[float, float], right: float, down: float) -> None:
    """From a place of the picture, by so much; all in its pixels."""
    page.locator("#preview").scroll_into_view_if_needed()
    stage = page.locator("#preview").bounding_box()
    assert stage is not None
    scale = stage["width"] / WIDTH
    start = (stage["x"] + at[0] * scale, stage["y"] + at[1] * scale)
    how(page, start, (start[0] + right * scale, start[1] + down * scale))


MOVES = [
    pytest.param((160, 240), 30, -20, Box(4, 46, 436, 334), id="moved"),
    pytest.param((160, 240), -500, 500, Box(48, 0, 480, 288), id="moved no further than the border"),
    pytest.param((304, 456), -100, -200, Box(24, 16, 256, 204), id="a corner"),
    pytest.param((16, 24), 40, 60, Box(84, 56, 456, 304), id="the opposite corner"),
    pytest.param((16, 456), -500, 500, Box(24, 0, 480, 304), id="a corner no further than the border"),
]


@pytest.mark.parametrize(("at", "right", "down", "expected"), MOVES)
def test_a_box_is_drawn_with_the_mouse(
    two: Page, engine: DrawingEngine, at: tuple[float, float], right: float, down: float, expected: Box
) -> None:
    drag(two, drag_with_mouse, at, right, down)
    assert near(shown(two)[0], expected), shown(two)
    first, second = sent(two, engine)
    assert first is not None
    assert near(first, expected)
    assert second == HALVES[1]


def test_a_box_is_drawn_with_a_finger(phone: Page, engine: DrawingEngine) -> None:
    drag(phone, drag_with_finger, (480, 240), -60, 12)
    expected = Box(36, 276, 468, 564)
    assert near(shown(phone)[1], expected, by=5), shown(phone)
    before = phone.evaluate("scrollY")
    drag(phone, drag_with_finger, (400, 240), 0, 12)
    assert phone.evaluate("scrollY") == before  # the finger moved the box, not the page
    assert sent(phone, engine)[0] == HALVES[0]


def test_a_box_is_drawn_with_the_keyboard(two: Page, engine: DrawingEngine) -> None:
    two.locator(".box").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowDown"):
        two.keyboard.press(key)
    expect(two.locator("#announcer")).to_have_text("Person 1: 4 to 48 % from the left, 4 to 95 % from the top")
    assert sent(two, engine) == [Box(19, 29, 456, 310), HALVES[1]]


def test_boxes_go_back_to_halves_on_demand_and_with_a_new_picture(two: Page, engine: DrawingEngine) -> None:
    drag(two, drag_with_mouse, (160, 240), 30, -20)
    two.click("#halves")
    assert all(map(near, shown(two), HALVES))
    drag(two, drag_with_mouse, (160, 240), 30, -20)
    two.set_input_files("#picture", picture(WIDTH, HEIGHT, "other.png"))
    expect(two.locator(".box").first).to_have_class("box untouched")
    assert sent(two, engine) == [None, None]


def test_one_person_has_no_box(two: Page, engine: DrawingEngine) -> None:
    drag(two, drag_with_mouse, (160, 240), 30, -20)
    two.check("[name=people][value='1']")
    expect(two.locator(".box").first).to_be_hidden()
    assert sent(two, engine) == [None]
