"""Pictures to pixels and pixels to pictures.

Pixels are float32 `[3, frames, H, W]` in -1..1 between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CropPlan:
    """Scale to `covering_height` x `covering_width`, then cut `height` x `width` from `top`, `left`."""

    covering_height: int
    covering_width: int
    top: int
    left: int
    height: int
    width: int


def plan_crop(source_height: int, source_width: int, height: int, width: int) -> CropPlan:
    """Cover `height` x `width` with the source and cut out the middle."""
    scale = max(height / source_height, width / source_width)
    covering = math.ceil(scale * source_height), math.ceil(scale * source_width)
    # round() goes to the even neighbour at .5, which decides by one pixel where the original cuts.
    return CropPlan(*covering, round((covering[0] - height) / 2), round((covering[1] - width) / 2), height, width)


def resize_crop(image: Image.Image, height: int, width: int) -> U8:
    """Cover `height` x `width` with the picture, bilinear, and cut out the middle; `[H, W, 3]`."""
    plan = plan_crop(image.height, image.width, height, width)
    covering = (plan.covering_width, plan.covering_height)
    resized = np.asarray(image.convert("RGB").resize(covering, Image.Resampling.BILINEAR))
    return resized[plan.top : plan.top + height, plan.left : plan.left + width].copy()


def to_pixels(image: U8) -> Tensor:
    """Turn an 8-bit picture `[H, W, 3]` into one frame `[3, 1, H, W]`."""
    return (torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 * 2 - 1)[:, None]


def to_uint8(video: Tensor) -> U8:
    """Turn pixels `[3, frames, H, W]` into 8-bit frames `[frames, H, W, 3]`; truncated, as the original does."""
    scaled = ((video.permute(1, 2, 3, 0) + 1) / 2 * 255).clamp(0, 255)
    return scaled.to(torch.uint8).cpu().numpy()
