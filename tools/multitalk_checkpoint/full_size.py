"""A checkpoint of the published sizes, types and names, full of random numbers: 90 GB to measure on.

Loading takes as long, and a step too, as with the real files; what comes out is noise. Numbers are drawn once and
repeated through each tensor, scaled as `weights` does, so that signals neither vanish nor explode.
"""

from __future__ import annotations

import torch
from torch import Tensor

from multitalk_checkpoint.weights import mean_of, spread_of

DRAWN = 2**24
"""Numbers that are drawn; longer tensors repeat them."""


class RepeatedNoise:
    """Values of any tensor from one draw."""

    def __init__(self, seed: int = 0) -> None:
        self._noise = torch.randn(DRAWN, generator=torch.Generator().manual_seed(seed))

    def __call__(self, _model: str, name: str, shape: tuple[int, ...]) -> Tensor:
        """Make a float32 tensor."""
        count = torch.Size(shape).numel()
        flat = torch.empty(count)
        scaled = self._noise[:count] * spread_of(name, shape) + mean_of(name, shape)
        for start in range(0, count, DRAWN):
            part = flat[start : start + DRAWN]
            part.copy_(scaled[: len(part)])
        return flat.reshape(shape)
