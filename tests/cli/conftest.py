"""One complete volume for all tests of a process, copied to each that asks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from support.hub import LocalHub
from support.three_models import complete, three_models


@pytest.fixture(scope="session")
def synced(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The manifest of three models, and a folder that holds ``hub`` and ``volume``, complete."""
    root = tmp_path_factory.mktemp("synced")
    (root / "volume").mkdir()
    with LocalHub(root / "hub") as hub:
        spec = three_models(root / "hub")
        complete(spec, root / "volume", hub)
    return spec, root


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, Any]:
    """The manifest of three models, which are on ``hub``."""
    return three_models(tmp_path / "hub")


@pytest.fixture
def whole(synced: tuple[dict[str, Any], Path], tmp_path: Path) -> Path:
    """A volume on which the three models are complete: times, links and all."""
    volume = tmp_path / "whole"
    shutil.copytree(synced[1] / "volume", volume, symlinks=True)
    return volume
