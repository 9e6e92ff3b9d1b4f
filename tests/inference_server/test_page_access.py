"""Who cannot see, point or hear uses the pages too: rules of axe, small screens, light and dark, the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from inference_server.browser import fill, opened, picture, set_steps, violations, voice
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, running

pytestmark = pytest.mark.timeout(180)

KEY = "0123456789abcdef"


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")], ids=lambda p: f"{p[0]} {p[1]}")
def screen(browser: Browser, complaints: list[str], request: pytest.FixtureRequest) -> Iterator[Page]:
    width, scheme = request.param
    with opened(browser, complaints, viewport={"width": width, "height": 800}, color_scheme=scheme) as tab:
        yield tab


def holds_up(page: Page, what: str) -> None:
    assert violations(page) == [], what
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth"), what


def test_the_page_holds_up_in_each_of_its_states(held: RunningServer, gate: ThreadGate, screen: Page) -> None:
    held.create(prompt="a video of somebody else, with a very long description " * 8, steps="1")
    screen.goto(held.url)
    expect(screen.locator("#videos li")).to_have_count(1)
    holds_up(screen, "empty")
    fill(screen, held, voice(0.4, "a-name-that-is-much-longer-than-a-box.wav"), voice(6.5), image=picture(640, 480))
    set_steps(screen, 4)
    expect(screen.locator("[data-person='2'] .warning")).to_be_visible()
    holds_up(screen, "filled in")
    screen.click("#send")
    expect(screen.locator("#error")).to_be_visible()
    holds_up(screen, "with an error")
    screen.set_input_files("#voice-2", voice(0.4))
    expect(screen.locator("#cost")).to_contain_text("pixels")
    screen.click("#send")
    expect(screen.locator("#state")).to_have_text("Waiting for its turn")
    holds_up(screen, "waiting")
    gate.allow(3)
    expect(screen.locator("#state")).to_have_text("Being made 50 %")
    holds_up(screen, "being made")
    gate.open()
    expect(screen.locator("#video")).to_be_visible()
    holds_up(screen, "done")


def test_the_api_page_holds_up(server: RunningServer, screen: Page) -> None:
    screen.goto(f"{server.url}/docs")
    expect(screen.locator("main")).to_contain_text("GET /metrics")
    for words in ("POST /v1/videos", "DELETE /v1/videos/{video_id}", "audio_guidance", "default 40", "default para"):
        expect(screen.locator("main")).to_contain_text(words)
    expect(screen.locator("#origin")).to_have_text(server.url)
    holds_up(screen, "the API page")


def focused(page: Page) -> str:
    """What has the keyboard: its id, or its text."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.textContent"))


def tab_to(page: Page, wanted: str, most: int = 40) -> list[str]:
    """Press Tab until it is reached; returns what was passed."""
    passed: list[str] = []
    while (here := focused(page)) != wanted:
        passed.append(here)
        assert len(passed) < most, passed
        page.keyboard.press("Tab")
    return passed


def test_a_video_is_made_by_keyboard_alone(held: RunningServer, gate: ThreadGate, page: Page) -> None:
    page.on("filechooser", lambda _: None)  # so that no dialog opens before the event is waited for
    page.goto(held.url)
    tab_to(page, "picture")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(picture(640, 480))
    expect(page.locator("#stage")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[name=people][value='2']")).to_be_checked()
    order = tab_to(page, "send")
    boxes = [each for each in order if each in ("1 silent", "2 silent")]
    assert boxes == ["1 silent", "2 silent"]
    assert order.index("2 silent") < order.index("voice-1") < order.index("voice-2") < order.index("prompt")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_be_focused()
    gate.wait_for_arrival(1)
    tab_to(page, "cancel")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Cancelled")
    page.keyboard.press("Tab")
    tab_to(page, "A person talks to the camera.")


def test_every_control_has_a_visible_focus(server: RunningServer, page: Page) -> None:
    fill(page, server, voice(0.4), voice(0.4))
    seen = []
    for _ in range(24):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") != "AUDIO":  # within it, the focus is the browser's own
            seen.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
    assert set(seen) == {"solid"}


def test_a_server_that_wants_a_key_is_given_one_once(
    tmp_path: Path, gate: ThreadGate, page: Page, complaints: list[str]
) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\n")
    with running(config_for(tmp_path, api_key_file=tmp_path / "keys"), DrawingEngine(gate)) as server:
        page.goto(server.url)
        expect(page.locator("#key-field")).to_be_focused()
        assert violations(page) == []
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-help")).to_have_text("The server does not know this key.")
        page.fill("#key-field", KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        assert [each for each in complaints if "401" not in each] == []
        complaints.clear()
        fill(page, server)
        page.click("#send")
        expect(page.locator("#state")).to_have_text("Being made 0 %")
        page.reload()
        gate.open()
        expect(page.locator("#state")).to_have_text("Done")
        expect(page.locator("#video")).to_have_js_property("videoWidth", 64)
        expect(page.locator("#videos img")).to_have_js_property("complete", True)
        assert complaints == []  # the video and its thumbnail came with the key


def test_without_a_key_none_is_asked_for(server: RunningServer, page: Page) -> None:
    fill(page, server)
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Done")
    expect(page.locator("#key")).to_be_hidden()
