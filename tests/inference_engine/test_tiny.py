"""The tiny checkpoint is the official layout in small, and always the same."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

import tiny_multitalk
from inference.multitalk import AUDIO, BASE, INDEX_FILE
from multitalk_checkpoint.tiny import TinySizes, write_tiny


def digests(folder: Path) -> dict[str, str]:
    # Pickles hold the name of their own file, so only their tensors repeat.
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".safetensors", ".json")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_is_the_same_every_time(tiny_volume: Path, tmp_path: Path) -> None:
    assert digests(write_tiny(tmp_path)) == digests(tiny_volume)


def test_another_salt_gives_other_weights_of_the_same_names(tiny_volume: Path, tmp_path: Path) -> None:
    other, usual = digests(write_tiny(tmp_path, TinySizes(salt="another"))), digests(tiny_volume)
    assert other.keys() == usual.keys()
    assert {name for name in usual if usual[name] != other[name]} == {n for n in usual if n.endswith(".safetensors")}


def test_the_command_writes_it_and_says_where(
    tiny_volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tiny", str(tmp_path)])
    tiny_multitalk.main()
    assert capsys.readouterr().out.startswith(f"{tmp_path}: {BASE}, ")
    assert digests(tmp_path) == digests(tiny_volume)


def test_the_merged_index_lists_every_tensor_and_the_base_index_only_its_own(tiny_volume: Path) -> None:
    base = json.loads((tiny_volume / BASE / INDEX_FILE).read_bytes())["weight_map"]
    merged = json.loads((tiny_volume / AUDIO / INDEX_FILE).read_bytes())["weight_map"]
    added = merged.keys() - base.keys()
    assert base.items() <= merged.items()
    assert {merged[name] for name in added} == {"multitalk.safetensors"}
    assert len(added) == 8 * 2 + 10
