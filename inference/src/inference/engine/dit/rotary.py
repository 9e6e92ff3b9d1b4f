"""Rotary position embedding: tables over the (time, row, column) grid, and along one line of labels.

A table holds cosine and sine of every token's angles, made in double precision once per video; rotating multiplies
interleaved pairs of channels. Time takes the first channels of a head, rows the next, columns the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BASE = 10000.0


@dataclass(frozen=True, slots=True)
class Rotary:
    """Angles of a row of tokens, as cosine and sine; last dimension half a head, broadcast over heads."""

    cos: Tensor
    sin: Tensor

    def rotate(self, x: Tensor) -> Tensor:
        """Turn `[..., tokens, heads, head_dim]` by the angles of each token."""
        even, odd = torch.unflatten(x.float(), -1, (-1, 2)).unbind(-1)
        turned = torch.stack((even * self.cos - odd * self.sin, even * self.sin + odd * self.cos), dim=-1)
        return turned.flatten(-2).to(x.dtype)


def grid_rotary(grid: tuple[int, int, int], head_dim: int, device: torch.device | str) -> Rotary:
    """Make the table of a video whose tokens lie on `grid` (frames, rows, columns)."""
    side = 2 * (head_dim // 6)
    widths = (head_dim - 2 * side, side, side)
    axes = []
    for axis, (length, width) in enumerate(zip(grid, widths, strict=True)):
        angles = torch.outer(torch.arange(length, dtype=torch.float64), _frequencies(width))
        shape = [1, 1, 1, width // 2]
        shape[axis] = length
        axes.append(angles.reshape(shape).expand(*grid, -1))
    return _table(torch.cat(axes, dim=-1).flatten(0, 2).unsqueeze(-2), device)


def line_rotary(positions: Tensor, head_dim: int) -> Rotary:
    """Make the table of tokens at any real `positions` `[..., tokens]` along one line."""
    # Made on the device: copying a table there would hold up the host in every block.
    angles = positions.float().unsqueeze(-1) * _frequencies(head_dim, positions.device).float()
    return Rotary(angles.cos().unsqueeze(-2), angles.sin().unsqueeze(-2))


def _frequencies(width: int, device: torch.device | str = "cpu") -> Tensor:
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=device) / width
    return torch.pow(BASE, -exponents)


def _table(angles: Tensor, device: torch.device | str) -> Rotary:
    return Rotary(angles.cos().float().to(device), angles.sin().float().to(device))
