"""A running hub with one small repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hub import LocalHub, RepoBuilder
from support.raw_client import signed_url

from .sample import CONFIG, REPO, WEIGHTS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repositories"


@pytest.fixture
def repo(root: Path) -> RepoBuilder:
    builder = RepoBuilder(root, REPO)
    builder.commit({"config.json": CONFIG, "weights.safetensors": WEIGHTS})
    return builder


@pytest.fixture
def hub(root: Path, repo: RepoBuilder) -> Iterator[LocalHub]:
    with LocalHub(root) as running:
        yield running


@pytest.fixture
def blob_url(hub: LocalHub) -> Callable[[], str]:
    """A fresh signed URL of the weights at each call."""
    return lambda: signed_url(hub.endpoint, REPO, "weights.safetensors")
