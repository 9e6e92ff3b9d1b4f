"""Colour correction: each frame takes the mean and spread of a reference picture in Lab space.

Long videos drift in colour from window to window; matching every frame to the input picture stops that. sRGB, D65,
2-degree observer; all arithmetic in float32 on the video's device.
"""

from __future__ import annotations

import torch
from torch import Tensor

RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE = (0.95047, 1.0, 1.08883)
LINEAR_BELOW = 0.008856
SLOPE, OFFSET = 7.787, 16.0 / 116.0


def match_colours(video: Tensor, reference: Tensor, strength: float = 1.0) -> Tensor:
    """Match every frame of `[3, frames, H, W]` to `reference` `[3, 1, H, W]`, all in -1..1; 0 changes nothing."""
    if strength == 0:
        return video
    goal = rgb_to_lab((reference + 1) / 2)
    goal_mean, goal_std = _statistics(goal)
    corrected = [_match_frame(frame[:, None], goal_mean, goal_std) for frame in video.unbind(1)]
    return (1 - strength) * video + strength * torch.cat(corrected, dim=1)


def _match_frame(frame: Tensor, goal_mean: Tensor, goal_std: Tensor) -> Tensor:
    lab = rgb_to_lab((frame + 1) / 2)
    mean, std = _statistics(lab)
    # A flat channel has no spread to scale; it only moves to the mean.
    ratio = torch.where(std == 0, torch.ones_like(std), goal_std / std)
    return lab_to_rgb((lab - mean) * ratio + goal_mean) * 2 - 1


def _statistics(lab: Tensor) -> tuple[Tensor, Tensor]:
    flat = lab.flatten(1).double()
    shape = (-1, *[1] * (lab.dim() - 1))
    return flat.mean(1).float().view(shape), flat.std(1, correction=0).float().view(shape)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert `[3, ...]` in 0..1."""
    clipped = rgb.clamp(0, 1)
    linear = torch.where(clipped > 0.04045, ((clipped + 0.055) / 1.055) ** 2.4, clipped / 12.92)
    xyz = _mix(_matrix(rgb), linear) / _white(rgb)
    f = torch.where(xyz > LINEAR_BELOW, xyz.clamp(min=0) ** (1 / 3), SLOPE * xyz + OFFSET)
    return torch.stack((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])))


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert back to `[3, ...]` in 0..1, colours outside of sRGB clipped."""
    fy = (lab[0] + 16) / 116
    f = torch.stack((fy + lab[1] / 500, fy, (fy - lab[2] / 200).clamp(min=0)))
    xyz = torch.where(f > 0.2068966, f**3, (f - OFFSET) / SLOPE) * _white(lab)
    linear = _mix(torch.linalg.inv(_matrix(lab)), xyz)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return rgb.clamp(0, 1)


def _mix(matrix: Tensor, values: Tensor) -> Tensor:
    return (matrix @ values.flatten(1)).view_as(values)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(RGB_TO_XYZ, device=like.device, dtype=like.dtype)


def _white(like: Tensor) -> Tensor:
    return torch.tensor(WHITE, device=like.device, dtype=like.dtype).view(3, *[1] * (like.dim() - 1))
