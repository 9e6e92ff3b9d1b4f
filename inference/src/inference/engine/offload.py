"""Weights that wait on the host and visit the device.

Encoders are lent for the time of a `with` block. Transformer blocks on the host are copied in one ahead of the
computation, on a stream of their own, from page-locked memory; the block before computes meanwhile. The host's copy is
never written, so nothing is copied back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

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


ALIGNMENT = 256
"""Bytes at which a packed tensor may begin; what a GPU's own allocations keep to."""


class PackedWeights:
    """A module's weights in one piece of host memory: one copy brings them all, and page-locking wastes little.

    The allocator of page-locked memory rounds every piece up to a power of two.
    """

    def __init__(self, module: nn.Module, *, page_locked: bool) -> None:
        self._places: list[tuple[str, int, nn.Parameter]] = []
        end = 0
        for name, parameter in module.named_parameters():
            start = -(-end // ALIGNMENT) * ALIGNMENT
            end = start + parameter.nbytes
            self._places.append((name, start, parameter))
        self._bytes = torch.empty(end, dtype=torch.uint8, pin_memory=page_locked)
        for _, start, parameter in self._places:
            place = _view(self._bytes, start, parameter)
            place.copy_(parameter.data)
            parameter.data = place

    def fetch(self, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
        """Begin to copy everything to the device; the copy as a whole, and the weights in it by name."""
        arrived = self._bytes.to(device, non_blocking=True)
        return arrived, {name: _view(arrived, start, like) for name, start, like in self._places}


def _view(packed: Tensor, start: int, like: Tensor) -> Tensor:
    return packed[start : start + like.nbytes].view(like.dtype).view(like.shape)


class HostBlock(nn.Module):
    """A block whose weights are on the host; runs it on the device and prefetches its successor."""

    def __init__(self, block: nn.Module, device: torch.device, stream: torch.cuda.Stream | None) -> None:
        super().__init__()
        self.block = block
        self.successor: HostBlock | None = None
        self._packed = PackedWeights(block, page_locked=stream is not None)
        self._device = device
        self._stream = stream
        self._fetched: tuple[Tensor, dict[str, Tensor]] | None = None
        self._ready: torch.cuda.Event | None = None

    def prefetch(self) -> None:
        """Begin to copy the weights to the device, unless that has begun."""
        if self._fetched is not None:
            return
        if self._stream is None:
            self._fetched = self._packed.fetch(self._device)
            return
        with torch.cuda.stream(self._stream):
            self._fetched = self._packed.fetch(self._device)
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


def stream_blocks(blocks: nn.ModuleList, host_blocks: int, device: torch.device) -> nn.ModuleList:
    """Wrap the last `host_blocks` of the list, which are on the host already."""
    if not host_blocks:
        return blocks
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    resident: Sequence[nn.Module] = list(blocks)[: len(blocks) - host_blocks]
    streamed = [HostBlock(block, device, stream) for block in list(blocks)[len(blocks) - host_blocks :]]
    # In a circle: while the resident blocks of the next pass compute, the first from the host arrives.
    for block, successor in zip(streamed, [*streamed[1:], *streamed[:1]], strict=True):
        # Not through setattr: a successor is no child, or every block would own all that follow.
        object.__setattr__(block, "successor", successor)
    return nn.ModuleList([*resident, *streamed])


def compile_blocks(blocks: nn.ModuleList, backend: str = "inductor") -> None:
    """Compile the resident blocks one by one: all share their graphs, so the time does not grow with their number.

    A block that gets new weights at every call would be compiled at every call, so those on the host are left out.
    """
    for block in blocks:
        if not isinstance(block, HostBlock):
            block.compile(backend=backend)
