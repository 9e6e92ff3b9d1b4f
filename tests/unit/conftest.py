"""Fixtures that several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from init_sync.hub.source import Source
from init_sync.hub.transport import Connections
from init_sync.hub.watchdog import Watchdog
from init_sync.volume.volume import Volume
from support.hub import LocalHub, RepoBuilder
from support.locking import Place
from unit.fetching import DATA, SIZE, TOKEN
from unit.interrupted import Download


@pytest.fixture
def place(volume: Path) -> Iterator[Place]:
    """A volume with an injected clock; every lease that was made is given back."""
    made = Place(Volume(str(volume)))
    yield made
    for lease in made.leases:
        lease.release()


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog()
    yield made
    made.close()


@pytest.fixture
def connections(watchdog: Watchdog) -> Iterator[Connections]:
    opened = Connections(2.0, watchdog)
    yield opened
    opened.close()


@pytest.fixture
def commit(hub: LocalHub, tmp_path: Path) -> str:
    return RepoBuilder(tmp_path / "hub", "owner/small").commit({"model.safetensors": DATA})


@pytest.fixture
def source(hub: LocalHub, commit: str) -> Source:
    return Source(f"{hub.endpoint}/owner/small/resolve/{commit}/model.safetensors", TOKEN, SIZE, "it")


@pytest.fixture
def download(volume: Path) -> Download:
    return Download(Volume(str(volume)))
