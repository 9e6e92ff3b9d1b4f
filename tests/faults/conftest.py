"""Repositories that the tests of outages sync, and the manifests that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.hub import LocalHub, RepoBuilder
from support.sync import manifest, model
from support.trouble import MIB, content

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
