"""One safetensors file: its header, and single tensors read directly into a buffer.

The format: 8 bytes little-endian length of the header; the header, JSON of `{name: {"dtype", "shape", "data_offsets":
[start, end]}}` and an optional `__metadata__`; then the data, offsets counted from the header's end. A file is complete
exactly when its size is 8 + header + largest end, and that is checked before any tensor is read.

Tensors are read with `pread` into freshly allocated memory, not mapped: mapped pages count as resident memory until
the kernel takes them back, and a container's memory limit may be reached before.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.engine.errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit; a larger number means that the file is something else."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor lies: bytes `start` to `end` of the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor."""
        return self.end - self.start


class SafetensorsFile:
    """A complete safetensors file, header read and checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        header, data_start = _read_header(path)
        metadata = header.pop("__metadata__", {})
        self.metadata: Mapping[str, str] = metadata if isinstance(metadata, dict) else {}
        self.entries: Mapping[str, Entry] = {name: _entry(path, name, raw, data_start) for name, raw in header.items()}
        _require_complete(path, max((entry.end for entry in self.entries.values()), default=data_start))

    def read(self, name: str) -> Tensor:
        """Read one tensor; safe from several threads."""
        entry = self.entries[name]
        tensor = torch.empty(entry.shape, dtype=entry.dtype)
        if entry.size_bytes:
            _read_into(self.path, entry.start, memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data))
        return tensor

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes of one tensor from `start` on; safe from several threads."""
        _read_into(self.path, self.entries[name].start + start, buffer)


def _read_into(path: Path, start: int, buffer: memoryview) -> None:
    with path.open("rb", buffering=0) as file:
        done = 0
        while done < len(buffer):
            count = os.preadv(file.fileno(), [buffer[done:]], start + done)
            if count == 0:
                raise CheckpointError(
                    f"reading {path.name}: the file ends at byte {start + done}, it was cut meanwhile"
                )
            done += count


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON object, and where the data begin."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
                raise CheckpointError(f"reading {path.name}: not a complete safetensors file ({size} bytes)")
            header = json.loads(file.read(length))
    except OSError as e:
        raise CheckpointError(f"opening {path}: {e.strerror}") from e
    except ValueError as e:
        raise CheckpointError(f"reading {path.name}: the header is not JSON. Fetch the file again") from e
    if not isinstance(header, dict):
        raise CheckpointError(f"reading {path.name}: the header is not a JSON object. Fetch the file again")
    return header, 8 + length


def _require_complete(path: Path, expected: int) -> None:
    size = path.stat().st_size
    if size != expected:
        raise CheckpointError(
            f"reading {path.name}: {size} bytes, the header promises {expected}. Fetch the file again"
        )


def _entry(path: Path, name: str, raw: Any, data_start: int) -> Entry:
    try:
        dtype, shape = DTYPES[raw["dtype"]], tuple(int(n) for n in raw["shape"])
        start, end = (data_start + int(offset) for offset in raw["data_offsets"])
    except (KeyError, TypeError, ValueError) as e:
        raise CheckpointError(f"reading {path.name}: the header's entry for {name} is not understood: {raw!r}") from e
    if end - start != math.prod(shape) * dtype.itemsize:
        raise CheckpointError(f"reading {path.name}: tensor {name} has {end - start} bytes, which is not its shape's")
    return Entry(dtype, shape, start, end)
