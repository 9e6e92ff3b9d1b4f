"""Tensors that pass through small buffers arrive whole; on the CPU here, on a GPU in `inference_gpu`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inference.engine import CheckpointError
from inference.engine.checkpoint.staging import Staging
from inference.engine.checkpoint.store import SafetensorsStore, TensorStore, TorchStore

CPU = torch.device("cpu")


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "wide": torch.randn(37, 113, generator=generator),
        "half": torch.randn(1000, generator=generator).bfloat16(),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "whole": torch.randn(1024, generator=generator),  # exactly some buffers
        "bytes": torch.arange(255, dtype=torch.uint8),
    }


def opened(kind: str, folder: Path, content: dict[str, Tensor]) -> TensorStore:
    if kind == "safetensors":
        save_file(content, folder / "a.safetensors")
        return SafetensorsStore([folder / "a.safetensors"])
    torch.save(content, folder / "a.pth")
    return TorchStore(folder / "a.pth")


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
def test_tensors_of_every_size_arrive_whole(kind: str, tmp_path: Path) -> None:
    content = tensors()
    store = opened(kind, tmp_path, content)
    staging = Staging(CPU, chunk_bytes=1024, buffers=3)
    with ThreadPoolExecutor(4) as pool:  # more readers than buffers: they wait for one another
        names = list(content) * 8
        found = pool.map(lambda name: staging.upload(store, name).use(), names)
        for name, tensor in zip(names, found, strict=True):
            assert tensor.dtype == content[name].dtype == store.dtype(name)
            assert torch.equal(tensor, content[name])


def test_a_tensor_that_was_saved_as_a_view_arrives_in_its_own_order(tmp_path: Path) -> None:
    turned = torch.arange(600.0).reshape(20, 30).T
    store = opened("pickle", tmp_path, {"turned": turned})
    assert torch.equal(Staging(CPU, chunk_bytes=256).upload(store, "turned").use(), turned)


def test_a_failed_read_leaves_the_buffers_for_others(tmp_path: Path) -> None:
    content = tensors()
    store = opened("safetensors", tmp_path, content)
    staging = Staging(CPU, chunk_bytes=1024, buffers=1)
    path = tmp_path / "a.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 1000])
    last = max(content, key=store.position)
    with pytest.raises(CheckpointError, match="it was cut meanwhile"):
        staging.upload(store, last)
    path.write_bytes(data)
    assert torch.equal(staging.upload(store, "wide").use(), content["wide"])
