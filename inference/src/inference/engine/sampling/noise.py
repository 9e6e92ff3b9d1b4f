"""Random numbers of one generation.

Drawn on the CPU and then moved, so that a seed gives the same video on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class NoiseSource(Protocol):
    """Gives standard normal noise, in order of use."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Draw the next tensor, float32 on the CPU."""
        ...


class SeededNoise:
    """Noise that follows from a seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Draw the next tensor."""
        return torch.randn(tuple(shape), generator=self._generator, dtype=torch.float32)
