"""Just enough of the W3C WebDriver protocol to use a page in headless Chromium: open, find, type, click, read.

Needs `chromedriver` and a Chromium on the PATH (Debian: chromium and chromium-driver); nothing is downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.waiting import eventually

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
STARTS_WITHIN_S = 60.0
SHORT = "/tmp"
"""Chromium has a socket below TMPDIR, and the path of one has at most 107 characters."""
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def installed() -> tuple[str, str] | None:
    """Paths of driver and browser, if this machine has both."""
    driver = shutil.which("chromedriver")
    chromium = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    return (driver, chromium) if driver and chromium else None


class Browser:
    """One browser session."""

    def __init__(self, session: httpx.Client) -> None:
        self._session = session

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._session.request(method, path, json=body if method == "POST" else None)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def find(self, selector: str, number: int = 0) -> str:
        found = self._call("POST", "/elements", {"using": "css selector", "value": selector})
        return str(found[number][ELEMENT])

    def type(self, selector: str, text: str, number: int = 0) -> None:
        """Type into a field; for a file field, the path of the file."""
        self._call("POST", f"/element/{self.find(selector, number)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/click", {})

    def text(self, selector: str) -> str:
        return str(self._call("GET", f"/element/{self.find(selector)}/text"))

    def run(self, script: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """What the console holds of errors: broken scripts, refused sources, missing files."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]


@contextmanager
def browser(driver: str, chromium: str, folder: Path) -> Iterator[Browser]:
    """A headless browser with a profile of its own."""
    with _driver(driver, folder) as address, httpx.Client(timeout=STARTS_WITHIN_S, trust_env=False) as client:
        client.base_url = httpx.URL(address)
        eventually(lambda: client.get("/status").json()["value"]["ready"], "the driver is ready")
        made = client.post("/session", json={"capabilities": {"alwaysMatch": _capabilities(chromium, folder)}})
        assert made.status_code == 200, made.text
        client.base_url = httpx.URL(f"{address}/session/{made.json()['value']['sessionId']}")
        yield Browser(client)
        client.delete("")


@contextmanager
def _driver(program: str, folder: Path) -> Iterator[str]:
    """Its address. What it and the browser leave for a while is removed with them."""
    command = [program, "--port=0", f"--log-path={folder / 'chromedriver.log'}"]
    with tempfile.TemporaryDirectory(dir=SHORT) as temporary:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": temporary})
        assert process.stdout is not None
        try:
            started = re.compile(r"started successfully on port (\d+)")
            yield next(f"http://127.0.0.1:{found[1]}" for line in process.stdout if (found := started.search(line)))
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()


def _capabilities(chromium: str, folder: Path) -> dict[str, Any]:
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]
    arguments += [f"--user-data-dir={folder / 'profile'}", "--window-size=900,1200", "--no-proxy-server"]
    arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    return {
        "goog:chromeOptions": {"binary": chromium, "args": arguments},
        "goog:loggingPrefs": {"browser": "SEVERE"},
    }
