"""The page in headless Chromium, by Playwright: a browser, a page whose complaints are collected, and axe.

Needs a Chromium: `CHROMIUM` names it, or it is on the PATH (Debian: chromium). Playwright's own is not downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, FilePayload, Page, expect, sync_playwright

from inference_server.harness import RunningServer
from inference_server.media import png, wav

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    *("--no-sandbox", "--no-proxy-server", "--disable-dev-shm-usage", "--mute-audio"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),  # a microphone that beeps
)
expect.set_options(timeout=20_000)  # an upload is decoded in a process of its own, which a busy machine starts slowly
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def installed() -> str | None:
    """The path of a Chromium, if this machine has one."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, complaints: list[str], **options: Any) -> Iterator[Page]:
    """A page in a profile of its own. Complaints are errors of scripts and of the console, and requests to other hosts;
    not that a server has ended before the page."""
    context = browser.new_context(**options)
    page = context.new_page()

    def read(message: ConsoleMessage) -> None:
        text = f"{message.text} {message.location['url']}"
        if message.type == "error" and "ERR_CONNECTION_REFUSED" not in text:
            complaints.append(text)

    page.on("console", read)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if _own(asked.url) else complaints.append(f"asked {asked.url}"))
    try:
        yield page
    finally:
        context.close()


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))


def violations(page: Page) -> list[str]:
    """What axe finds."""
    found: Mapping[str, Any] = Axe().run(page, options=RULES).response
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in found["violations"]]


def picture(width: int = 64, height: int = 48, name: str = "face.png") -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": png(width, height)}


def voice(seconds: float = 0.8, name: str = "voice.wav") -> FilePayload:
    return {"name": name, "mimeType": "audio/wav", "buffer": wav(seconds)}


def fill(page: Page, server: RunningServer, *voices: FilePayload, image: FilePayload | None = None) -> None:
    """Open the page and choose a picture and voices."""
    page.goto(server.url)
    page.set_input_files("#picture", image or picture())
    for number, each in enumerate(voices, 1):
        page.set_input_files(f"#voice-{number}", each)


def set_steps(page: Page, steps: int) -> None:
    page.evaluate("document.querySelector('details').open = true")
    page.fill("#steps", str(steps))
