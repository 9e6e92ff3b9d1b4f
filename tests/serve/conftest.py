"""A hub, and a volume that holds most of its files with receipts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.hub import LocalHub, RepoBuilder
from support.kill_lab import noise
from support.peer import Peer, peer
from support.sync import manifest, model
from support.three_models import LARGE, complete, three_models

NESTED = {
    "config.json": b'{"nested": 1}\n',
    "empty.txt": b"",
    "notes/not-held.md": b"# Not held\n",
    "unet/deep/a name + %2e é.txt": b"odd\n",
    "unet/weights.safetensors": LARGE[::3] + LARGE,
}
"""Of ``owner/nested``; all but the notes are on the volume."""

LARGER = noise("served", 16 << 20)
"""More than what fits between a server and a client that does not read."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where everything came from; not to be changed."""

    hub: LocalHub
    spec: dict[str, Any]
    volume: Path


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    root = tmp_path_factory.mktemp("origin")
    (root / "volume").mkdir()
    with LocalHub(root / "hub") as hub:
        spec = three_models(root / "hub")
        RepoBuilder(root / "hub", "owner/nested").commit(NESTED)
        spec["spec"]["models"].append(model("nested", "owner/nested", exclude=["notes/"]))
        complete(spec, root / "volume", hub)
        yield Origin(hub, spec, root / "volume")


@pytest.fixture(scope="session")
def large_origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    (root / "volume").mkdir()
    with LocalHub(root / "hub") as hub:
        RepoBuilder(root / "hub", "owner/large").commit({"large.safetensors": LARGER})
        complete(manifest(model("large", "owner/large")), root / "volume", hub)
    return root / "volume"


@pytest.fixture
def large(large_origin: Path, tmp_path: Path) -> Path:
    """A volume with one file, ``LARGER``."""
    volume = tmp_path / "large"
    shutil.copytree(large_origin, volume)
    return volume


@pytest.fixture
def whole(origin: Origin, tmp_path: Path) -> Path:
    """A copy of the volume: times, links and all."""
    volume = tmp_path / "whole"
    shutil.copytree(origin.volume, volume, symlinks=True)
    return volume


@pytest.fixture
def served(whole: Path) -> Iterator[Peer]:
    with peer(whole) as running:
        yield running
