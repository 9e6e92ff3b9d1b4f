"""What stays on the device, what waits on the host, and whether a step's passes run together.

A plan is made from a limit and the sizes of the networks, before anything is loaded. Room is given up in this order:
first the prompt and picture encoders wait on the host (used once per video and once per window), then blocks of the
transformer do (each is copied in while the one before computes). Passes are batched whenever the room left allows it.

The bytes per token of activations are estimates from the shapes of the largest intermediates, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine.dit.config import DitConfig
from inference.engine.errors import EngineError

RESERVE_SHARE = 0.05
"""Of the limit, for the allocator's fragmentation and the library's own workspaces."""
STREAMED_BLOCKS = 2
"""Blocks from the host that are on the device at one time: one computes, one arrives."""


@dataclass(frozen=True, slots=True)
class ModelBytes:
    """Bytes of the networks as they will lie on the device."""

    dit: int
    block: int
    """One block of the transformer; `dit` includes all of them."""
    blocks: int
    encoders: int
    """Prompt and picture encoder."""
    always: int
    """Autoencoder and voice encoder."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where the networks live."""

    limit_bytes: int | None
    resident_bytes: int
    encoders_on_host: bool
    host_blocks: int
    bytes_per_token: int

    def batches(self, tokens: int, passes: int) -> bool:
        """Tell whether all passes of a step fit together."""
        if self.limit_bytes is None:
            return True
        free = self.limit_bytes * (1 - RESERVE_SHARE) - self.resident_bytes
        return passes * tokens * self.bytes_per_token <= free


def activation_bytes_per_token(config: DitConfig, element_bytes: int) -> int:
    """Estimate the peak of one block: the residual stream with float32 copies, and the widest hidden layer twice."""
    stream = config.dim * (3 * element_bytes + 4 * 4)
    widest = max(3 * config.dim, 2 * config.ffn_dim) * element_bytes
    return stream + widest


def plan_memory(limit_bytes: int | None, sizes: ModelBytes, bytes_per_token: int, tokens: int) -> MemoryPlan:
    """Fit the networks and one pass of `tokens` into the limit; None means that everything stays."""
    everything = sizes.dit + sizes.encoders + sizes.always
    if limit_bytes is None:
        return MemoryPlan(None, everything, False, 0, bytes_per_token)
    room = int(limit_bytes * (1 - RESERVE_SHARE)) - tokens * bytes_per_token
    if everything <= room:
        return MemoryPlan(limit_bytes, everything, False, 0, bytes_per_token)
    # The lent encoders and the activations are never on the device at the same time.
    needed = sizes.dit + sizes.always
    if needed <= room:
        return MemoryPlan(limit_bytes, needed, True, 0, bytes_per_token)
    with_stream = needed + STREAMED_BLOCKS * sizes.block
    host_blocks = -(-(with_stream - room) // sizes.block)
    if host_blocks > sizes.blocks:
        least = with_stream - sizes.blocks * sizes.block + tokens * bytes_per_token
        raise EngineError(
            f"fitting the models into {limit_bytes / 1e9:.1f} GB: at least {least / (1 - RESERVE_SHARE) / 1e9:.1f} GB "
            "are needed. Raise the memory limit or use a device with more memory"
        )
    resident = with_stream - host_blocks * sizes.block
    return MemoryPlan(limit_bytes, resident, True, host_blocks, bytes_per_token)
