"""Weights that are elsewhere and visit the device.

Encoders are lent for the time of a `with` block. Transformer blocks are fetched one ahead of the computation, on a
stream of their own; the block before computes meanwhile. They come from page-locked memory of the host, or from all
devices that make a video together, each of which holds a share of the block's bytes (`packing`). What is fetched is
never written, so nothing is copied back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from inference.engine.checkpoint.streaming import Home
from inference.engine.group import Group
from inference.engine.packing import PackedWeights, Packing, SharedWeights, Weights

Move = Callable[[Tensor], Tensor]


@contextmanager
def lent(module: nn.Module, move: Move) -> Iterator[None]:
    """Let a module work on moved copies of its tensors, and free the copies afterwards."""
    tensors = [*module.parameters(), *module.buffers()]
    home = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = move(tensor.data)
        yield
    finally:
        for tensor, data in zip(tensors, home, strict=True):
            tensor.data = data


@dataclass(frozen=True, slots=True)
class BlockPlacement:
    """How many of the transformer's last blocks are elsewhere, all or in part."""

    host: int = 0
    """On the host, or if they are shared, this device's share of them."""
    shared: int = 0
    """Spread over the devices of `group`."""
    group: Group | None = None


ALL_RESIDENT = BlockPlacement()


class BlockHomes:
    """Where each parameter of a transformer is kept, and the blocks once they are there."""

    def __init__(self, blocks: nn.ModuleList, home: Home, placement: BlockPlacement) -> None:
        self._blocks, self._home, self._placement = blocks, home, placement
        self._packing: Packing | None = None
        if placement.group and placement.shared:
            self._packing = Packing.of(blocks[-1], home.dtype, placement.group.shards.size)

    def of(self, name: str) -> Home:
        """Say where a parameter is kept."""
        first, _, rest = name.partition(".")
        if first != "blocks":
            return self._home
        number, _, inner = rest.partition(".")
        before_end = len(self._blocks) - int(number)
        device = torch.device("cpu") if before_end <= self._placement.host else self._home.device
        part = None
        if self._packing and self._placement.group and before_end <= self._placement.shared:
            part = partial(self._packing.part, inner, self._placement.group.shards.rank)
        return Home(device, self._home.dtype, part)

    def streamed(self) -> nn.ModuleList:
        """Wrap those that are away, once all parameters are filled."""
        count = max(self._placement.host, self._placement.shared)
        last = list(self._blocks)[len(self._blocks) - count :]
        return stream_blocks(self._blocks, [self._weights(block) for block in last], self._home.device)

    def _weights(self, block: nn.Module) -> Weights:
        page_locked = self._home.device.type == "cuda"
        if self._packing and self._placement.group:
            return SharedWeights(block, self._packing, self._placement.group, page_locked=page_locked)
        return PackedWeights(block, page_locked=page_locked)


class StreamedBlock(nn.Module):
    """A block whose weights are fetched for each call; runs it and prefetches its successor."""

    def __init__(
        self, block: nn.Module, weights: Weights, device: torch.device, stream: torch.cuda.Stream | None
    ) -> None:
        super().__init__()
        self.block = block
        self.successor: StreamedBlock | None = None
        self._weights = weights
        self._device = device
        self._stream = stream
        self._fetched: tuple[Tensor, dict[str, Tensor]] | None = None
        self._ready: torch.cuda.Event | None = None

    def prefetch(self) -> None:
        """Begin to copy the weights to the device, unless that has begun."""
        if self._fetched is not None:
            return
        if self._stream is None:
            self._fetched = self._weights.fetch(self._device)
            return
        with torch.cuda.stream(self._stream):
            self._fetched = self._weights.fetch(self._device)
            self._ready = self._stream.record_event()

    def forward(self, x: Tensor, *args: object) -> Tensor:
        """Run the block with weights that are on the device only for this call."""
        self.prefetch()
        assert self._fetched is not None
        arrived, weights = self._fetched
        self._fetched = None
        if self._ready is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(self._ready)
            arrived.record_stream(current)
        if self.successor is not None:
            self.successor.prefetch()
        out: Tensor = functional_call(self.block, weights, (x, *args))
        return out


def stream_blocks(blocks: nn.ModuleList, weights: Sequence[Weights], device: torch.device) -> nn.ModuleList:
    """Wrap the last blocks of the list, one for each of `weights`."""
    if not weights:
        return blocks
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    resident: Sequence[nn.Module] = list(blocks)[: len(blocks) - len(weights)]
    away = list(blocks)[len(resident) :]
    streamed = [StreamedBlock(block, its, device, stream) for block, its in zip(away, weights, strict=True)]
    # In a circle: while the resident blocks of the next pass compute, the first one arrives.
    for block, successor in zip(streamed, [*streamed[1:], *streamed[:1]], strict=True):
        # Not through setattr: a successor is no child, or every block would own all that follow.
        object.__setattr__(block, "successor", successor)
    return nn.ModuleList([*resident, *streamed])


def compile_blocks(blocks: nn.ModuleList, backend: str = "inductor") -> None:
    """Compile the resident blocks one by one: all share their graphs, so the time does not grow with their number.

    A block that gets new weights at every call would be compiled at every call, so streamed ones are left out.
    """
    for block in blocks:
        if not isinstance(block, StreamedBlock):
            block.compile(backend=backend)
