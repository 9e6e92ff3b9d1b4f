"""Videos on the page at /: the address that keeps one, the queue, those that are there, and those that are gone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from inference_server.browser import fill, set_steps, voice
from inference_server.drawing_engine import ThreadGate
from inference_server.harness import RunningServer
from support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

COUNT_ANNOUNCEMENTS = """
    globalThis.announced = [];
    addEventListener("DOMContentLoaded", () => {
      for (const live of document.querySelectorAll("[aria-live], [role=status], [role=alert]")) {
        const options = {childList: true, characterData: true, subtree: true};
        new MutationObserver(() => live.textContent && announced.push(live.textContent)).observe(live, options);
      }
    });
"""


def test_the_address_keeps_the_video_over_a_reload_and_for_others(
    held: RunningServer, gate: ThreadGate, page: Page
) -> None:
    fill(page, held)
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Being made 0 %")
    address = page.url
    page.reload()
    expect(page.locator("#state")).to_have_text("Being made 0 %")
    other = page.context.new_page()
    other.goto(address)
    gate.open()
    for tab in (page, other):
        expect(tab.locator("#state")).to_have_text("Done")
        expect(tab.locator("#video")).to_have_js_property("videoWidth", 64)


@pytest.mark.parametrize("how", ["followed", "opened"])
def test_a_video_that_the_server_has_forgotten_ends_the_asking(
    held: RunningServer, page: Page, complaints: list[str], how: str
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/videos/video_" in request.url else None)
    if how == "followed":
        fill(page, held)
        page.click("#send")
        expect(page.locator("#state")).to_have_text("Being made 0 %")
        (video,) = held.http.get("/v1/videos").json()["data"]
        for _ in range(2):  # cancelled, then forgotten
            held.http.delete(f"/v1/videos/{video['id']}")
    else:
        page.goto(f"{held.url}/#video_{'0' * 28}")
    expect(page.locator("#state")).to_have_text("Not here any more")
    expect(page.locator("#reason")).to_contain_text("The server no longer has this video")
    expect(page).to_have_url(f"{held.url}/")
    expect(page.locator("#send")).to_be_enabled()
    before = len(asked)
    page.wait_for_timeout(2500)  # twice as long as until it would ask again: nothing else tells that it does not
    assert len(asked) == before
    assert [each for each in complaints if "404" not in each] == []
    complaints.clear()


def test_a_waiting_video_tells_its_place_and_others_can_be_sent_meanwhile(
    held: RunningServer, gate: ThreadGate, page: Page
) -> None:
    fill(page, held, voice(0.4))
    held.create(prompt="somebody else's")
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Waiting for its turn")
    expect(page.locator("#left")).to_have_text("One other video comes first.")
    page.click("#send")
    expect(page.locator("#left")).to_have_text("2 other videos come first.")
    gate.open()
    expect(page.locator("#state")).to_have_text("Done")
    expect(page.locator("#videos li")).to_have_count(3)


def test_the_time_left_is_told(held: RunningServer, gate: ThreadGate, page: Page) -> None:
    fill(page, held)
    set_steps(page, 4)
    page.click("#send")
    gate.allow(2)
    expect(page.locator("#left")).to_have_text(re.compile(r"^(A few seconds|About \d+ seconds) left\.$"))


def test_nothing_speaks_while_a_video_is_made(held: RunningServer, gate: ThreadGate, page: Page) -> None:
    page.add_init_script(COUNT_ANNOUNCEMENTS)
    fill(page, held)
    set_steps(page, 5)
    page.click("#send")
    for percent in (0, 20, 40, 60, 80):
        expect(page.locator("#state")).to_have_text(f"Being made {percent} %")
        gate.allow(1)
    expect(page.locator("#state")).to_have_text("Done")
    assert page.evaluate("announced") == []  # beginning and end move the focus to their heading, which is read
    assert page.evaluate("document.activeElement.id") == "state"


def test_earlier_videos_are_listed_newest_first_shown_and_deleted(server: RunningServer, page: Page) -> None:
    made = [server.create(prompt=f"number {number}") for number in range(3)]
    for video_id in made:
        server.wait_status(video_id, "completed")
    page.goto(server.url)
    rows = page.locator("#videos li")
    expect(rows.locator("a")).to_have_text(["number 2", "number 1", "number 0"])
    expect(rows.first).to_contain_text("Done, 0.4 s, 64 × 48")
    expect(rows.first.locator("img")).to_have_js_property("naturalWidth", 64)
    rows.nth(1).locator("a").click()
    expect(page).to_have_url(f"{server.url}/#{made[1]}")
    expect(page.locator("#job-prompt")).to_have_text("number 1")
    expect(rows.nth(1).locator("a")).to_have_attribute("aria-current", "true")
    page.go_back()
    expect(page.locator("#job")).to_be_hidden()
    page.go_forward()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete: number 1").click()
    expect(rows).to_have_count(2)
    expect(page).to_have_url(f"{server.url}/")
    expect(page.locator("#job")).to_be_hidden()
    expect(rows.nth(1).locator("a")).to_be_focused()
    assert server.http.get(f"/v1/videos/{made[1]}").status_code == 404


def test_deleting_asks_first(server: RunningServer, page: Page) -> None:
    server.wait_status(server.create(prompt="dear"), "completed")
    page.goto(server.url)
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    page.get_by_role("button", name="Delete: dear").click()
    assert asked == ["Delete this video? It cannot be brought back."]
    assert len(server.http.get("/v1/videos").json()["data"]) == 1


def test_more_than_a_page_of_videos(held: RunningServer, page: Page) -> None:
    for number in range(4):
        held.create(prompt=f"number {number}")
    fewer = f"{held.url}/v1/videos?limit=2"
    page.route("**/v1/videos?limit=12", lambda route: route.continue_(url=fewer))
    page.goto(held.url)
    expect(page.locator("#videos li")).to_have_count(2)
    page.click("#older")
    expect(page.locator("#videos li")).to_have_count(4)
    expect(page.locator("#older")).to_be_hidden()


@pytest.fixture
def away(page: Page) -> Callable[[bool], None]:
    """Takes the server away, and brings it back."""
    pattern = re.compile("/v1/videos")

    def stop(route: Route) -> None:
        route.abort()

    def be(away: bool) -> None:
        if away:
            page.route(pattern, stop)
        else:
            page.unroute(pattern, stop)

    return be


def test_a_server_that_comes_back_is_asked_again(
    held: RunningServer, gate: ThreadGate, page: Page, complaints: list[str], away: Callable[[bool], Any]
) -> None:
    fill(page, held)
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Being made 0 %")
    away(True)
    expect(page.locator("#left")).to_have_text("The server does not answer. Trying again.")
    gate.open()
    (video,) = held.http.get("/v1/videos").json()["data"]
    held.wait_status(video["id"], "completed")
    away(False)
    expect(page.locator("#state")).to_have_text("Done")
    eventually(lambda: complaints, "the browser tells of requests that failed")
    complaints.clear()
