"""A complete volume for each test, and the hub that it came from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.linked_volume import ADDON, BASE, LinkedVolume


@dataclass(frozen=True)
class World:
    """Shared by all tests of the module: nothing in it changes."""

    hub: LocalHub
    nursery: Nursery
    golden: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("damage")
    RepoBuilder(folder / "hub", "owner/base").commit(BASE)
    RepoBuilder(folder / "hub", "owner/addon").commit(ADDON)
    golden = folder / "golden"
    golden.mkdir()
    with LocalHub(folder / "hub") as hub, Nursery(hub.endpoint, folder) as nursery:
        LinkedVolume(golden, hub, nursery).sync()
        yield World(hub, nursery, golden)


@pytest.fixture
def site(world: World, volume: Path) -> LinkedVolume:
    """A complete volume of its own."""
    shutil.copytree(world.golden, volume, symlinks=True, dirs_exist_ok=True)
    return LinkedVolume(volume, world.hub, world.nursery)


@pytest.fixture
def empty(world: World, volume: Path) -> LinkedVolume:
    return LinkedVolume(volume, world.hub, world.nursery)
