"""Named tensors in files: what a loader may ask of any checkpoint format.

`TensorStore` gives shapes without reading data, and then one tensor at a time. Two formats exist: safetensors
(`SafetensorsStore`, any number of files) and PyTorch's pickle (`TorchStore`, always with `weights_only`).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from inference.engine.checkpoint.safetensors_file import SafetensorsFile
from inference.engine.errors import CheckpointError

Shape = tuple[int, ...]


class TensorStore(Protocol):
    """Tensors by name; `read` may be called from several threads."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape of every tensor."""
        ...

    def size_bytes(self, name: str) -> int:
        """Bytes of one tensor as stored."""
        ...

    def origin(self, name: str) -> str:
        """File name, for messages."""
        ...

    def position(self, name: str) -> tuple[int, int]:
        """Sort key that follows the order on disk."""
        ...

    def dtype(self, name: str) -> torch.dtype:
        """Type of one tensor as stored."""
        ...

    def read(self, name: str) -> Tensor:
        """Read one tensor to the host."""
        ...

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes of one tensor from `start` on."""
        ...


class SafetensorsStore:
    """All tensors of several safetensors files, from their headers; no index file is asked."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [SafetensorsFile(path) for path in paths]
        self._where: dict[str, int] = {}
        self.shapes: dict[str, Shape] = {}
        for number, file in enumerate(self._files):
            for name, entry in file.entries.items():
                if name in self._where:
                    other = self._files[self._where[name]].path.name
                    raise CheckpointError(f"reading {file.path.name}: tensor {name} is in {other} too; remove one file")
                self._where[name] = number
                self.shapes[name] = entry.shape

    def size_bytes(self, name: str) -> int:
        """Bytes of one tensor as stored."""
        return self._files[self._where[name]].entries[name].size_bytes

    def origin(self, name: str) -> str:
        """File name, for messages."""
        return self._files[self._where[name]].path.name

    def position(self, name: str) -> tuple[int, int]:
        """Sort key that follows the order on disk."""
        number = self._where[name]
        return number, self._files[number].entries[name].start

    def dtype(self, name: str) -> torch.dtype:
        """Type of one tensor as stored."""
        return self._files[self._where[name]].entries[name].dtype

    def read(self, name: str) -> Tensor:
        """Read one tensor to the host."""
        return self._files[self._where[name]].read(name)

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes of one tensor from `start` on."""
        self._files[self._where[name]].read_into(name, start, buffer)


class TorchStore:
    """Tensors of one `.pth` or `.bin` file, mapped into memory where the file's format allows that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tensors = _load_pickle(path)
        self._order = {name: number for number, name in enumerate(self._tensors)}
        self.shapes: dict[str, Shape] = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def size_bytes(self, name: str) -> int:
        """Bytes of one tensor as stored."""
        return self._tensors[name].nbytes

    def origin(self, name: str) -> str:  # noqa: ARG002 - one file holds all
        """File name, for messages."""
        return self._path.name

    def position(self, name: str) -> tuple[int, int]:
        """Sort key that follows the order on disk."""
        return 0, self._order[name]

    def dtype(self, name: str) -> torch.dtype:
        """Type of one tensor as stored."""
        return self._tensors[name].dtype

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes of one tensor from `start` on."""
        flat = self._tensors[name].contiguous().reshape(-1).view(torch.uint8)
        torch.frombuffer(buffer, dtype=torch.uint8).copy_(flat[start : start + len(buffer)])

    def read(self, name: str) -> Tensor:
        """Copy one tensor out of the mapped file, so that nothing keeps the mapping alive."""
        return self._tensors[name].clone()


def _load_pickle(path: Path) -> dict[str, Tensor]:
    try:
        loaded = _load_mapped(path)
    except pickle.UnpicklingError as e:
        raise CheckpointError(
            f"reading {path.name}: it is damaged, or holds more than tensors, which is refused. Fetch the file again"
        ) from e
    except (RuntimeError, EOFError, OSError) as e:
        raise CheckpointError(f"reading {path.name}: {str(e)[:200]}. Fetch the file again") from e
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise CheckpointError(f"reading {path.name}: it does not hold a flat dictionary of tensors")
    return loaded


def _load_mapped(path: Path) -> object:
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    # Only the zip format (torch >= 1.6) can be mapped; older files are small enough to be read at once.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
