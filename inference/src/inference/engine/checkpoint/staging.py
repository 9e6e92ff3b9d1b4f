"""From files to a device through a few page-locked buffers.

Several threads fill buffers, a stream of its own carries them to the device, and a buffer is filled again as soon as it
has been carried off. Memory that is newly asked for with every tensor would have to be cleared by the kernel first, and
memory that is not page-locked is copied once more by the driver: together they cost more than reading a warm file does.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue

import torch
from torch import Tensor

from inference.engine.checkpoint.store import TensorStore

CHUNK_BYTES = 32 * 2**20
BUFFERS = 8


@dataclass(slots=True)
class Buffer:
    """A page-locked buffer, and when its last content was carried off."""

    content: Tensor
    carried: torch.cuda.Event | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A tensor on the device, in the type of the file, that may still be on its way."""

    tensor: Tensor
    arrived: torch.cuda.Event | None

    def use(self) -> Tensor:
        """Let the current stream wait for the tensor, not the host."""
        if self.arrived is not None:
            torch.cuda.current_stream(self.tensor.device).wait_event(self.arrived)
        return self.tensor


class Staging:
    """Buffers before one device; `upload` may be called from several threads."""

    def __init__(self, device: torch.device, chunk_bytes: int = CHUNK_BYTES, buffers: int = BUFFERS) -> None:
        self._device = device
        self._chunk = chunk_bytes
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._free: SimpleQueue[Buffer] = SimpleQueue()
        for _ in range(buffers):
            self._free.put(Buffer(torch.empty(chunk_bytes, dtype=torch.uint8, pin_memory=on_gpu)))

    def upload(self, store: TensorStore, name: str) -> Upload:
        """Read one tensor and begin to carry it to the device."""
        tensor = torch.empty(store.shapes[name], dtype=store.dtype(name), device=self._device)
        flat = tensor.reshape(-1).view(torch.uint8)
        if self._stream is not None:
            # The memory may have been freed by something that the device still works on.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
        for start in range(0, tensor.nbytes, self._chunk):
            self._carry(store, name, flat[start : start + self._chunk], start)
        return Upload(tensor, self._stream.record_event() if self._stream is not None else None)

    def _carry(self, store: TensorStore, name: str, target: Tensor, start: int) -> None:
        buffer = self._free.get()
        try:
            if buffer.carried is not None:
                buffer.carried.synchronize()
            source = buffer.content[: len(target)]
            store.read_into(name, start, source.numpy().data)
            if self._stream is None:
                target.copy_(source)
                return
            with torch.cuda.stream(self._stream):
                target.copy_(source, non_blocking=True)
            buffer.carried = self._stream.record_event()
        finally:
            self._free.put(buffer)
