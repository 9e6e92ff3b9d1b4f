"""The page at / offers what was made of a video that failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from inference_server.browser import violations
from inference_server.harness import config_for, running
from inference_server.test_partial import WindowedEngine, failed

pytestmark = pytest.mark.timeout(120)


def test_the_part_of_a_failed_video_is_played_and_can_be_downloaded(tmp_path: Path, page: Page) -> None:
    with running(config_for(tmp_path), WindowedEngine()) as server:
        video_id = failed(server)
        page.goto(f"{server.url}/#{video_id}")
        expect(page.locator("#state")).to_have_text("Failed")
        expect(page.locator("#reason")).to_contain_text("failed to generate")
        expect(page.locator("#left")).to_have_text("The first 0.4 s of 2 s were made, and are kept.")
        expect(page.locator("#video")).to_have_js_property("videoWidth", 64)
        expect(page.locator("#download")).to_have_attribute("download", f"{video_id}-partial.mp4")
        expect(page.locator("#videos .thumbnail")).to_have_js_property("naturalWidth", 64)
        expect(page.locator("#videos .words .hint")).to_contain_text("Failed, 0.4 s")
        assert violations(page) == []


def test_a_failed_video_without_a_part_offers_nothing(tmp_path: Path, page: Page) -> None:
    with running(config_for(tmp_path), WindowedEngine(frames=0)) as server:
        video_id = server.create(voices=(), seconds="2")
        server.wait_status(video_id, "failed")
        page.goto(f"{server.url}/#{video_id}")
        expect(page.locator("#state")).to_have_text("Failed")
        expect(page.locator("#video")).to_be_hidden()
        expect(page.locator("#download")).to_be_hidden()
