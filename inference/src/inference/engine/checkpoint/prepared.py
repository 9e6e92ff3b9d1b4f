"""The transformer's tensors in the type in which they are used, laid out as safetensors files of a bounded size.

The published shards are float32 and the weights are used as bfloat16, so half of the bytes are read for nothing. Which
files there will be, and their headers, follow from names and shapes alone; the content is read, cast and handed out in
pieces, so that memory does not grow with the largest tensor. Where the files go is decided elsewhere.

Casting rounds to the nearest value, ties to even, as loading does: the values are the same bit for bit. Names, order
and headers are those of `multitalk.PREPARED_FORMAT`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inference.engine.checkpoint.safetensors_file import DTYPES
from inference.engine.checkpoint.store import SafetensorsStore, TensorStore
from inference.engine.errors import CheckpointError

SHARD_BYTES = 2**31
"""A sync that waits for the volume waits for one shard at most."""
PIECE_ELEMENTS = 2**22
READ_AHEAD = 2
ALIGNMENT = 8
"""Of the header's length, so that tensors begin at a multiple of it."""
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Shard:
    """One file that is to be written."""

    number: int
    names: tuple[str, ...]
    header: bytes
    """With its length in front: all that comes before the data."""
    size: int


class PreparedWeights:
    """What the files of a prepared copy hold."""

    def __init__(self, store: TensorStore, dtype: torch.dtype) -> None:
        self._store = store
        self._dtype = dtype
        groups = enumerate(_grouped(store, dtype), 1)
        self.shards = tuple(_shard(store, dtype, number, names) for number, names in groups)

    @property
    def is_smaller(self) -> bool:
        """Whether there is anything to gain."""
        stored = sum(map(self._store.size_bytes, self._store.shapes))
        return sum(shard.size for shard in self.shards) < stored

    def content(self, shard: Shard) -> Iterator[memoryview]:
        """The bytes of a file, in pieces; each is valid until the next one is asked for."""
        yield memoryview(shard.header)
        widest = max((self._store.dtype(name).itemsize for name in shard.names), default=1)
        free = deque(_Buffers.of(widest, self._dtype.itemsize) for _ in range(READ_AHEAD + 1))
        running: deque[tuple[_Buffers, Future[memoryview]]] = deque()
        with ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="cast") as pool:
            for span in (span for name in shard.names for span in self._spans(name)):
                buffers = free.popleft()
                running.append((buffers, pool.submit(self._cast, buffers, *span)))
                if not free:
                    buffers, future = running.popleft()
                    yield future.result()
                    free.append(buffers)
            for _, future in running:
                yield future.result()

    def _spans(self, name: str) -> Iterator[tuple[str, int, int]]:
        """Name, first element and number of elements of each piece."""
        elements = torch.Size(self._store.shapes[name]).numel()
        for start in range(0, elements, PIECE_ELEMENTS):
            yield name, start, min(PIECE_ELEMENTS, elements - start)

    def _cast(self, buffers: _Buffers, name: str, start: int, count: int) -> memoryview:
        dtype = self._store.dtype(name)
        stored = buffers.stored[: count * dtype.itemsize]
        self._store.read_into(name, start * dtype.itemsize, stored.numpy().data)
        cast = buffers.cast[: count * self._dtype.itemsize]
        cast.view(self._dtype).copy_(stored.view(dtype))
        return memoryview(cast.numpy().data)


@dataclass(frozen=True, slots=True)
class _Buffers:
    """Of one piece; used again, since an allocator would keep what is given back to it."""

    stored: Tensor
    cast: Tensor

    @classmethod
    def of(cls, stored_bytes: int, cast_bytes: int) -> _Buffers:
        """For so many bytes of each element."""
        sizes = (PIECE_ELEMENTS * each for each in (stored_bytes, cast_bytes))
        return cls(*(torch.empty(size, dtype=torch.uint8) for size in sizes))


def open_prepared(files: Sequence[Path], originals: TensorStore, dtype: torch.dtype) -> TensorStore:
    """Raises CheckpointError unless the files hold the tensors of the originals, in this type."""
    store = SafetensorsStore(files)
    if store.shapes != dict(originals.shapes) or any(store.dtype(name) != dtype for name in store.shapes):
        raise CheckpointError("its tensors are not those of the models")
    return store


def _grouped(store: TensorStore, dtype: torch.dtype) -> list[list[str]]:
    """Tensors in the order on disk, so that reading goes forward."""
    groups: list[list[str]] = []
    left = 0
    for name in sorted(store.shapes, key=store.position):
        size = _size(store, dtype, name)
        if not groups or size > left:
            groups.append([])
            left = SHARD_BYTES
        groups[-1].append(name)
        left -= size
    return groups


def _shard(store: TensorStore, dtype: torch.dtype, number: int, names: Sequence[str]) -> Shard:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        start, end = end, end + _size(store, dtype, name)
        entries[name] = {"dtype": NAMES[dtype], "shape": list(store.shapes[name]), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text = text.ljust(-len(text) % ALIGNMENT + len(text))
    header = len(text).to_bytes(8, "little") + text
    return Shard(number, tuple(names), header, len(header) + end)


def _size(store: TensorStore, dtype: torch.dtype, name: str) -> int:
    return torch.Size(store.shapes[name]).numel() * dtype.itemsize
