"""Repositories that the tests of outages sync, and the manifests that name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from faults.quirky import PLAIN, Desk, Quirky
from faults.stored import FILES
from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.outages import MIB, content
from support.quirks import Quirks, quirky_volume, why_not
from support.sync import manifest, model

LARGE = content(24 * MIB)


@pytest.fixture
def spec(hub: LocalHub, repo: RepoBuilder) -> dict[str, Any]:
    """A manifest of ``owner/small`` alone."""
    return manifest(model("small", repo.name))


@pytest.fixture
def large(hub: LocalHub, tmp_path: Path) -> RepoBuilder:
    """``owner/large``: one file of three pieces, which connections of its own can fetch."""
    builder = RepoBuilder(tmp_path / "hub", "owner/large")
    builder.commit({"weights.safetensors": LARGE})
    return builder


@pytest.fixture
def large_spec(large: RepoBuilder) -> dict[str, Any]:
    """A manifest of ``owner/large`` alone."""
    return manifest(model("large", large.name))


@pytest.fixture
def stored(hub: LocalHub, tmp_path: Path) -> None:
    """``owner/stored`` is on the hub."""
    RepoBuilder(tmp_path / "hub", "owner/stored").commit(dict(FILES))


@pytest.fixture
def quirky(volume: Path) -> Iterator[Quirky]:
    """The volume with these quirks."""
    with ExitStack() as stack:

        def mounted(quirks: Quirks) -> Path:
            if quirks == PLAIN:
                return volume
            if problem := why_not():
                pytest.skip(problem)
            return stack.enter_context(quirky_volume(volume, quirks))

        yield mounted


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("quirks")
    with LocalHub(folder / "hub") as hub, Nursery(hub.endpoint, folder) as nursery:
        yield Desk(hub, nursery, folder / "hub")
