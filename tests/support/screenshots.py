"""``make screenshots``: pictures of the page at / for docs/inference.md, from a run of the real server in Chromium.

The engine is the one of the tests, which draws the picture itself: a network with made-up weights would draw noise.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, FilePayload, Page, expect

from inference_server.browser import fill, installed, launched, opened, set_steps, voice
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, running

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTH, HEIGHT = 960, 640
SKINS = ((240, 200, 170), (170, 115, 85))
SHIRTS = ((60, 70, 110), (130, 60, 70))


def two_people() -> bytes:
    image = Image.new("RGB", (WIDTH, HEIGHT), (196, 214, 224))
    draw = ImageDraw.Draw(image)
    for place, skin, shirt in zip((0.29, 0.72), SKINS, SHIRTS, strict=True):
        x, y, radius = WIDTH * place, HEIGHT * 0.43, HEIGHT * 0.17
        draw.rounded_rectangle((x - 170, y + radius * 0.9, x + 170, HEIGHT + 80), 110, fill=shirt)
        draw.ellipse((x - radius, y - radius * 1.2, x + radius, y + radius * 1.2), fill=skin)
        for eye in (-0.4, 0.4):
            draw.ellipse((x + eye * radius - 8, y - 30, x + eye * radius + 8, y - 14), fill=(40, 35, 35))
        draw.ellipse((x - 26, y + 42, x + 26, y + 62), fill=(130, 55, 55))
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def main() -> int:
    chromium = installed()
    if chromium is None:
        sys.exit("no Chromium: install it, or name one with CHROMIUM")
    gate = ThreadGate()
    with tempfile.TemporaryDirectory() as folder, launched(chromium) as browser:
        config = config_for(Path(folder), max_seconds=40.0, max_upload_mib=4.0)
        with running(config, DrawingEngine(gate)) as server:
            take_filled_in(browser, server, gate)
            take_being_made(browser, server, gate)
            gate.open()
    return 0


def fill_in(page: Page, server: RunningServer) -> None:
    picture: FilePayload = {"name": "two.png", "mimeType": "image/png", "buffer": two_people()}
    fill(page, server, voice(6.0, "anna.wav"), voice(4.5, "bernd.wav"), image=picture)
    page.fill("#prompt", "A woman and a man talk in a bright room.")
    set_steps(page, 8)


def take_filled_in(browser: Browser, server: RunningServer, gate: ThreadGate) -> None:
    complaints: list[str] = []
    with opened(browser, complaints, viewport={"width": 1280, "height": 900}, color_scheme="light") as page:
        fill_in(page, server)
        page.click("#send")
        gate.allow(8)
        expect(page.locator("#video")).to_be_visible()
        expect(page.locator("#videos img")).to_have_js_property("complete", True)
        page.evaluate("document.querySelector('details').open = false")
        save(page, "page.webp")
    assert complaints == []


def take_being_made(browser: Browser, server: RunningServer, gate: ThreadGate) -> None:
    complaints: list[str] = []
    with opened(browser, complaints, viewport={"width": 375, "height": 760}, color_scheme="dark") as page:
        fill_in(page, server)
        page.click("#send")
        gate.allow(3)
        expect(page.locator("#state")).to_have_text("Being made 37 %")
        page.locator(".voice").first.scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, document.getElementById('stage').offsetTop - 120)")
        save(page, "page-phone.webp", full=False)
    assert complaints == []


def save(page: Page, name: str, *, full: bool = True) -> None:
    page.wait_for_timeout(500)  # a scroll that is under way; the picture is for people
    shot = Image.open(io.BytesIO(page.screenshot(full_page=full)))
    TARGET.mkdir(exist_ok=True)
    shot.save(TARGET / name, "WEBP", quality=82, method=6)


if __name__ == "__main__":
    sys.exit(main())
