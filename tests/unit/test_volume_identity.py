"""The volume's id: made once, kept for ever, another one for another volume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from init_sync.volume.identity import ensure_volume_id, read_volume_id
from init_sync.volume.layout import IDENTITY, write_json
from init_sync.volume.volume import Volume


def test_it_is_made_once_and_read_ever_after(tmp_path: Path) -> None:
    volume = Volume(str(tmp_path))
    assert read_volume_id(volume) is None
    made = ensure_volume_id(volume)
    assert made
    assert ensure_volume_id(volume) == read_volume_id(volume) == made


def test_two_volumes_never_share_one_but_a_clone_has_that_of_its_original(tmp_path: Path) -> None:
    first, second = (Volume(str(tmp_path / name)) for name in ("a", "b"))
    for volume in (first, second):
        Path(volume.root).mkdir()
    assert ensure_volume_id(first) != ensure_volume_id(second)
    shutil.copytree(tmp_path / "a", tmp_path / "clone")
    assert read_volume_id(Volume(str(tmp_path / "clone"))) == read_volume_id(first)


@pytest.mark.parametrize(
    "data", [{"format": 1}, {"format": 1, "id": 7}, {"format": 1, "id": "../../etc"}, {"format": 2, "id": "a" * 32}]
)
def test_what_cannot_be_an_id_is_none_and_is_replaced(tmp_path: Path, data: dict[str, Any]) -> None:
    volume = Volume(str(tmp_path))
    write_json(volume, IDENTITY, data)
    assert read_volume_id(volume) is None
    assert ensure_volume_id(volume) == read_volume_id(volume) is not None


def test_one_that_was_cut_or_changed_by_hand_is_none(tmp_path: Path) -> None:
    volume = Volume(str(tmp_path))
    ensure_volume_id(volume)
    path = Path(volume.at(IDENTITY))
    changed = {**json.loads(path.read_text()), "id": "0" * 32}
    for text in ("", path.read_text()[:30], json.dumps(changed), "[]", "7"):
        path.write_text(text)
        assert read_volume_id(volume) is None


def test_a_volume_that_cannot_be_written_to_has_none(tmp_path: Path) -> None:
    (tmp_path / ".modelcache").write_text("a file, so that nothing can be made below it")
    assert ensure_volume_id(Volume(str(tmp_path))) is None
