"""Fixtures: a server that draws at once, and one whose steps a test lets pass one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
