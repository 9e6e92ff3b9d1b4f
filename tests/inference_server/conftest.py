"""Fixtures: a server that draws at once, one whose steps a test lets pass one by one, and a page in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from inference_server.browser import installed, launched, opened
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, running


@pytest.fixture
def engine(tmp_path: Path) -> DrawingEngine:
    return DrawingEngine(limits=config_for(tmp_path).media_limits)


@pytest.fixture
def server(tmp_path: Path, engine: DrawingEngine) -> Iterator[RunningServer]:
    with running(config_for(tmp_path), engine) as started:
        yield started


@pytest.fixture
def gate() -> Iterator[ThreadGate]:
    made = ThreadGate()
    yield made
    made.open()


@pytest.fixture
def held(tmp_path: Path, gate: ThreadGate) -> Iterator[RunningServer]:
    """A server whose engine waits at `gate` before each step."""
    with running(config_for(tmp_path), DrawingEngine(gate)) as started:
        yield started


@pytest.fixture(scope="module")  # not longer: as long as it runs, no other event loop can run in this thread
def browser() -> Iterator[Browser]:
    chromium = installed()
    if chromium is None:
        pytest.skip("no Chromium: install it, or name one with CHROMIUM, to test the page")
    with launched(chromium) as started:
        yield started


@pytest.fixture
def complaints() -> list[str]:
    """Of the page; a test that expects some takes them out."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """Name it behind the server, so that it ends before it."""
    with opened(browser, complaints) as tab:
        yield tab
    assert complaints == []
