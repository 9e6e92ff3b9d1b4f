"""Fixtures of every kind of test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support import surroundings, tools
from support.helm import Helm
from support.hub import LocalHub, RepoBuilder

surroundings.become_neutral(os.environ)
settings.register_profile("modelcache", deadline=None, print_blob=True)  # a busy machine is no counter-example
settings.load_profile("modelcache")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    """A running local hub without repositories; ``repo`` adds them."""
    root = tmp_path / "hub"
    root.mkdir(exist_ok=True)
    with LocalHub(root) as running:
        yield running


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty volume."""
    path = tmp_path / "volume"
    path.mkdir()
    return path


@pytest.fixture
def repo(tmp_path: Path) -> RepoBuilder:
    """``owner/small`` on the hub: three files, one of them large enough to be stored apart."""
    builder = RepoBuilder(tmp_path / "hub", "owner/small")
    builder.commit(
        {"config.json": b'{"a": 1}\n', "model.safetensors": bytes(range(256)) * 4096, "vocab.txt": b"one\ntwo\n"}
    )
    return builder


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm with an empty home; without one, the test is skipped with a word."""
    program = tools.helm()
    if program is None:
        pytest.skip(tools.why_no_helm())
    return Helm(program, tmp_path_factory.mktemp("helm"))
