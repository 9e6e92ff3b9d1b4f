"""A hub with one repository, and copies that can be served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.hub import LocalHub, RepoBuilder
from support.kill_lab import noise
from support.sync import manifest, model, run_sync

FILES = {
    "config.json": b'{"layers": 2}\n',
    "tokenizer.json": noise("tokenizer", 60_000),
    "weights-1.safetensors": noise("weights-1", 20 << 20),
    "weights-2.safetensors": noise("weights-2", 3 << 20),
}
BYTES = sum(map(len, FILES.values()))


@dataclass(frozen=True, slots=True)
class Origin:
    """The hub, and a manifest of its one repository."""

    hub: LocalHub
    spec: dict[str, Any]
    folder: Path

    def volume(self, name: str) -> Path:
        volume = self.folder / name
        volume.mkdir()
        return volume


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    RepoBuilder(tmp_path / "hub", "owner/base").commit(FILES)
    with LocalHub(tmp_path / "hub") as hub:
        yield Origin(hub, manifest(model("base", "owner/base")), tmp_path)


@pytest.fixture
def complete(origin: Origin) -> Path:
    """A volume with everything; the hub's log is empty again."""
    volume = origin.volume("complete")
    assert run_sync(origin.spec, volume, origin.hub).returncode == 0
    origin.hub.reset_log()
    return volume
