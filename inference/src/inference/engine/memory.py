"""What stays on the device, what waits on the host, and whether a step's passes run together.

A plan is made from a limit, the sizes of the networks and the room that work needs beside them, before anything is
loaded. Room is given up in this order:

1. The prompt and picture encoders wait on the host; they are used once per video and once per window.
2. Several devices that make a video together share blocks of the transformer: each holds an equal part, and a block is
   gathered while the one before computes.
3. Blocks, or the device's parts of them, wait on the host, and are copied while the block before computes.

Passes are batched whenever the room left allows it. Several devices have one plan, that of the first: only it has the
encoders and the autoencoder.

The constants of the estimates were measured on an H100 at full size; docs/benchmarks.md has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine.dit.config import DitConfig
from inference.engine.errors import EngineError

RESERVE_SHARE = 0.05
"""Of the limit, for the allocator's fragmentation and the library's own workspaces."""
STREAMED_BLOCKS = 2
"""Blocks from the host that are on the device at one time: one computes, one arrives."""
WIDTHS_PER_TOKEN = 13
"""Numbers as wide as the residual stream that one pass holds for each token; 12.1 were measured."""
WHOLE_WIDTHS = 2
"""The same, of all tokens on each of several devices: each embeds all of them. 1 was counted by shapes."""
DECODE_BYTES_PER_PIXEL = 270
"""For each of the autoencoder's base channels: most of it holds the frames that its convolutions look back on. 256 were
measured, at both resolutions."""


@dataclass(frozen=True, slots=True)
class ModelBytes:
    """Bytes of the networks on the device."""

    dit: int
    block: int
    """One block of the transformer; `dit` includes all of them."""
    blocks: int
    encoders: tuple[int, ...]
    """Prompt and picture encoder; one at a time is on the device when they live on the host."""
    always: int
    """Autoencoder and voice encoder."""
    arriving: int = 0
    """Tensors in transfer while the networks are loaded."""


@dataclass(frozen=True, slots=True)
class WorkBytes:
    """What work needs beside the networks, for each unit of it."""

    per_token: int
    """One pass of the transformer."""
    per_pixel: int
    """Decoding a window, by the pixels of one frame."""

    def most(self, tokens: int, pixels: int) -> int:
        """Bytes of the larger of the two, which are never there at the same time."""
        return max(tokens * self.per_token, pixels * self.per_pixel)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where the networks live."""

    limit_bytes: int | None
    resident_bytes: int
    encoders_on_host: bool
    host_blocks: int
    """Blocks, or this device's shares of them, that wait on the host."""
    work: WorkBytes
    shared_blocks: int = 0
    """Blocks of which each device holds a share."""

    def batches(self, tokens: int, passes: int) -> bool:
        """Whether all passes of a step fit together."""
        if self.limit_bytes is None:
            return True
        free = self.limit_bytes * (1 - RESERVE_SHARE) - self.resident_bytes
        return passes * tokens * self.work.per_token <= free

    def shortage(self, tokens: int, pixels: int) -> int:
        """Bytes by which a window of this size surely does not fit; 0 when it may."""
        if self.limit_bytes is None:
            return 0
        return max(0, self.resident_bytes + self.work.most(tokens, pixels) - self.limit_bytes)


def work_bytes(config: DitConfig, element_bytes: int, base_channels: int, devices: int = 1) -> WorkBytes:
    """Estimate the peaks of a block and of the autoencoder (`base_channels` wide)."""
    widths: float = WIDTHS_PER_TOKEN
    if devices > 1:
        widths = WIDTHS_PER_TOKEN / devices + WHOLE_WIDTHS
    return WorkBytes(round(widths * config.dim * element_bytes), DECODE_BYTES_PER_PIXEL * base_channels)


def plan_memory(
    limit_bytes: int | None, sizes: ModelBytes, work: WorkBytes, tokens: int, pixels: int, devices: int = 1
) -> MemoryPlan:
    """Fit the networks and a window of `tokens`, each frame of `pixels`, into each device's limit; None: all stays."""
    everything = sizes.dit + sum(sizes.encoders) + sizes.always
    if limit_bytes is None:
        return MemoryPlan(None, everything, False, 0, work)
    usable = int(limit_bytes * (1 - RESERVE_SHARE))
    working = max(work.most(tokens, pixels), sizes.arriving)
    if everything <= usable - working:
        return MemoryPlan(limit_bytes, everything, False, 0, work)
    # A lent encoder is on the device when nothing else works there.
    room = usable - max(working, *sizes.encoders)
    needed = sizes.dit + sizes.always
    if needed <= room:
        return MemoryPlan(limit_bytes, needed, True, 0, work)
    with_stream = needed + STREAMED_BLOCKS * sizes.block
    share = -(-sizes.block // devices)
    if devices > 1:
        shared_blocks = _enough(with_stream - room, sizes.block - share)
        if shared_blocks <= sizes.blocks:
            resident = with_stream - shared_blocks * (sizes.block - share)
            return MemoryPlan(limit_bytes, resident, True, 0, work, shared_blocks)
        # All are shared; shares are on their way from the host beside the blocks that are gathered.
        with_stream += STREAMED_BLOCKS * share - sizes.blocks * (sizes.block - share)
    host_blocks = _enough(with_stream - room, share)
    if host_blocks > sizes.blocks:
        least = usable - room + with_stream - sizes.blocks * share
        raise EngineError(
            f"fitting the models into {limit_bytes / 1e9:.1f} GB: at least {least / (1 - RESERVE_SHARE) / 1e9:.1f} GB "
            "are needed. Raise the memory limit or use a device with more memory"
        )
    resident = with_stream - host_blocks * share
    return MemoryPlan(limit_bytes, resident, True, host_blocks, work, sizes.blocks if devices > 1 else 0)


def _enough(wanted: int, each: int) -> int:
    return -(-wanted // each)
