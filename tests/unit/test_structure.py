"""Checkpoint files that are whole, cut off or foreign, judged by their own structure."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from init_sync.volume import structure
from init_sync.volume.volume import Volume

TENSORS = {"a": np.ones((16, 16), np.float32), "b": np.ones(8, np.float32)}
SAFETENSORS = save(TENSORS, {"format": "pt"})


def torch_archive() -> bytes:
    """The zip that ``torch.save`` writes, as far as its structure is looked at."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"data.pkl": b"\x80\x02}q\x00.", "version": b"3\n", "data/0": bytes(1024)}.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return buffer.getvalue()


TORCH = torch_archive()


def placed(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def structure_problem(path: str) -> str | None:
    return structure.structure_problem(Volume(str(Path(path).parent)), Path(path).name)


def index(folder: Path, weight_map: object) -> str:
    return placed(folder, "model.safetensors.index.json", json.dumps({"weight_map": weight_map}).encode())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("whole.safetensors", SAFETENSORS),
        ("whole.pth", TORCH),
        ("whole.bin", TORCH),
        ("legacy.pt", b"\x80\x02}q\x00."),
        ("notes.txt", b"anything"),
    ],
)
def test_a_whole_file_has_no_problem(tmp_path: Path, name: str, content: bytes) -> None:
    assert structure_problem(placed(tmp_path, name, content)) is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.safetensors", SAFETENSORS[:-1], "1 are missing"),
        ("header.safetensors", SAFETENSORS[:40], "cut off"),
        ("empty.safetensors", b"", "does not begin with a safetensors header"),
        ("page.safetensors", b"<!DOCTYPE html><html></html>", "does not begin with a safetensors header"),
        ("long.safetensors", SAFETENSORS + b"xx", "2 too many"),
        ("json.safetensors", (8).to_bytes(8, "little") + b"not json", "damaged"),
        ("list.safetensors", (2).to_bytes(8, "little") + b"[]", "not a mapping"),
        ("zero.safetensors", bytes(len(SAFETENSORS)), "does not begin with a safetensors header"),
        ("cut.pth", TORCH[:-30], "end record"),
        ("half.bin", TORCH[: len(TORCH) // 2], "end record"),
        ("empty.pt", b"", "empty"),
    ],
)
def test_what_is_wrong_is_said_in_words(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    problem = structure_problem(placed(tmp_path, name, content))
    assert problem is not None
    assert words in problem


@pytest.mark.parametrize("cut", range(0, len(SAFETENSORS), 37))
def test_safetensors_cut_off_anywhere_is_noticed(tmp_path: Path, cut: int) -> None:
    assert structure_problem(placed(tmp_path, "cut.safetensors", SAFETENSORS[:cut]))


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    assert structure_problem(str(tmp_path / "none.safetensors")) == "cannot be read: No such file or directory"


class TestIndex:
    def test_an_index_whose_shards_hold_its_tensors_is_fine(self, tmp_path: Path) -> None:
        placed(tmp_path, "one.safetensors", SAFETENSORS)
        assert structure_problem(index(tmp_path, {"a": "one.safetensors", "b": "one.safetensors"})) is None

    def test_a_shard_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        assert structure_problem(index(tmp_path, {"a": "one.safetensors"})) == (
            "it names one.safetensors, which is not there"
        )

    def test_tensors_that_no_shard_holds_are_counted_and_one_is_named(self, tmp_path: Path) -> None:
        placed(tmp_path, "one.safetensors", SAFETENSORS)
        problem = structure_problem(index(tmp_path, {"a": "one.safetensors", "audio": "one.safetensors"}))
        assert problem == "it expects 1 tensors in one.safetensors that are not there, such as audio"

    def test_a_damaged_shard_is_reported_through_its_index(self, tmp_path: Path) -> None:
        placed(tmp_path, "one.safetensors", b"short")
        assert "one.safetensors, which it names" in str(structure_problem(index(tmp_path, {"a": "one.safetensors"})))

    @pytest.mark.parametrize("weight_map", [None, [], "text", 7])
    def test_an_index_without_a_map_is_no_index(self, tmp_path: Path, weight_map: object) -> None:
        assert structure_problem(index(tmp_path, weight_map)) == "it is not an index with a weight_map"

    @pytest.mark.parametrize("shard", [7, ["b"], None, "../one.safetensors", "/etc/hostname", "nul\0", "\ud800", ""])
    def test_a_shard_that_cannot_lie_beside_the_index_is_a_problem(self, tmp_path: Path, shard: object) -> None:
        """Nothing outside the index' own directory is opened, whatever an index says."""
        placed(tmp_path, "one.safetensors", SAFETENSORS)
        (tmp_path / "deeper").mkdir()
        assert structure_problem(index(tmp_path / "deeper", {"a": shard}))


def test_the_header_names_the_tensors(tmp_path: Path) -> None:
    assert structure.safetensors_header(
        Volume(str(tmp_path)), Path(placed(tmp_path, "x.safetensors", SAFETENSORS)).name
    ).keys() == {"__metadata__", "a", "b"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["x.safetensors", "x.pth", "x.bin", "x.index.json"]),
    content=st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=60).map(lambda text: len(text).to_bytes(8, "little") + text),
        st.binary(max_size=60).map(lambda rest: TORCH[:-22] + rest + TORCH[-22:]),
        st.tuples(st.integers(0, len(TORCH) - 1), st.binary(min_size=1, max_size=4)).map(
            lambda at: TORCH[: at[0]] + at[1] + TORCH[at[0] + len(at[1]) :]
        ),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=4) | st.floats(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        )
        .map(lambda value: json.dumps({"weight_map": value, "x": {"data_offsets": value}}).encode())
        .map(lambda text: len(text).to_bytes(8, "little") + text),
        st.recursive(
            st.none() | st.text(max_size=4), lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ).map(lambda value: json.dumps({"weight_map": value}).encode()),
        st.just(b'{"weight_map": ' + b"[" * 100_000),
        st.just(json.dumps({"weight_map": {"a": "nul\0"}}).encode()),
        st.just(json.dumps({"weight_map": {"a": "\ud800"}}).encode()),
        st.just((20).to_bytes(8, "little") + b'{"a":{"data_offsets":[0,1e999]}}'),
    ),
)
def test_no_content_makes_the_check_itself_fail(tmp_path: Path, name: str, content: bytes) -> None:
    """It runs over files of unknown origin; whatever they hold, it answers."""
    answer = structure_problem(placed(tmp_path, name, content))
    assert answer is None or answer
