"""Timesteps from 1000 down to 0, and noising of known latents to one of them.

`shift` above 1 spends more of the steps at high noise, which larger pictures need.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FULL_NOISE = 1000.0


def timesteps(steps: int, shift: float) -> Tensor:
    """Make `steps + 1` times, the last one 0.

    Numpy's grid and this order of operations round as the original does: the transformer turns a time's last bits into
    phases of up to a thousand radians, where they can be seen.
    """
    even = torch.from_numpy(np.linspace(FULL_NOISE, 1.0, steps, dtype=np.float32))
    share = even / FULL_NOISE
    shifted = shift * share / (1 + (shift - 1) * share) * FULL_NOISE
    return torch.cat((shifted, torch.zeros(1)))


def noised(clean: Tensor, noise: Tensor, time: float) -> Tensor:
    """Mix known latents with noise as they would be at `time`."""
    share = time / FULL_NOISE
    return (1 - share) * clean + share * noise
