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
    """Angles of a row of tokens, made to multiply pairs of channels: last dimension a head, broadcast over heads."""

    cos: Tensor
    """Cosine of the pair's angle, for both of its channels."""
    sin: Tensor
    """Minus the sine for the first channel of a pair, the sine for the second."""

    @classmethod
    def from_angles(cls, angles: Tensor) -> Rotary:
        """Spread angles `[..., head_dim / 2]` over the pairs of channels; float32."""
        cos, sin = angles.cos().float(), angles.sin().float()
        return cls(cos.repeat_interleave(2, -1), torch.stack((-sin, sin), dim=-1).flatten(-2))

    @property
    def tokens(self) -> int:
        """Tokens of the row."""
        return self.cos.shape[-3]

    def to(self, device: torch.device | str) -> Rotary:
        """Move both tables."""
        return Rotary(self.cos.to(device), self.sin.to(device))

    def rotate(self, x: Tensor) -> Tensor:
        """Turn `[..., tokens, heads, head_dim]` by the angles of each token, in float32."""
        swapped = torch.unflatten(x, -1, (-1, 2)).flip(-1).flatten(-2)
        # Rounded once, while it is written: at full size these passes over memory are what rotating costs.
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        return torch.addcmul(x * self.cos, swapped, self.sin, out=out)


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
    return Rotary.from_angles(torch.cat(axes, dim=-1).flatten(0, 2).unsqueeze(-2)).to(device)


def line_rotary(positions: Tensor, head_dim: int) -> Rotary:
    """Make the table of tokens at any real `positions` `[..., tokens]` along one line."""
    # Made on the device: copying a table there would hold up the host in every block.
    angles = positions.float().unsqueeze(-1) * _frequencies(head_dim, positions.device).float()
    return Rotary.from_angles(angles.unsqueeze(-2))


def _frequencies(width: int, device: torch.device | str = "cpu") -> Tensor:
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=device) / width
    return torch.pow(BASE, -exponents)
