"""Where the speakers are: masks of person 1, person 2 and background on the grid of latents.

The masks are drawn on the source picture and take the same way as the picture: scaled to cover the output, cut to its
middle, then sampled at the latents' grid, always by nearest neighbour. One person without a box owns the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from inference.engine.video.buckets import Size
from inference.engine.video.frames import CropPlan, plan_crop
from inference.generation import Box, InvalidInput

OUTSIDE, TOO_SMALL = "box_outside_image", "box_too_small"
"""Codes of refusals."""
MARGIN = 0.05
"""Share of a half picture that is left free around a speaker who has no box."""


def default_boxes(height: int, width: int) -> tuple[Box, Box]:
    """Split a picture into a left and a right speaker."""
    top, bottom, half = int(height * MARGIN), int(height * (1 - MARGIN)), width // 2
    near, far = int(half * MARGIN), int(half * (1 - MARGIN))
    shifted = int(half * MARGIN + half), int(half * (1 - MARGIN) + half)
    return Box(top, near, bottom, far), Box(top, shifted[0], bottom, shifted[1])


def check_boxes(boxes: Sequence[Box | None], height: int, width: int) -> None:
    """Refuse boxes that are not inside the picture, and one box for two people."""
    for number, box in enumerate(boxes, 1):
        if box is not None and not box.inside(height, width):
            raise InvalidInput(
                "box",
                f"of person {number} (top {box.top:g}, left {box.left:g}, bottom {box.bottom:g}, right {box.right:g}) "
                f"is not inside the picture, which is {height} high and {width} wide",
                OUTSIDE,
            )
    if len(boxes) > 1 and 0 < sum(box is not None for box in boxes) < len(boxes):
        raise InvalidInput("box", "give one for both people, or for neither")


def speaker_masks(source: Size, target: Size, latent: Size, boxes: Sequence[Box | None]) -> Tensor:
    """Draw masks `[3, latent rows, latent columns]` for the people of a video; sizes are (height, width)."""
    first, *second = boxes
    if second:
        given = None if first is None or second[0] is None else (first, second[0])
        return latent_masks(source, target, latent, given)
    if first is None:
        return whole_picture(latent)
    return split_masks(source, target, latent, first)


def latent_masks(source: Size, target: Size, latent: Size, boxes: tuple[Box, Box] | None) -> Tensor:
    """Masks of two people, by default of the left and the right half."""
    plan = plan_crop(*source, *target)
    first, second = (_draw(box, source, plan, latent) for box in boxes or default_boxes(*source))
    return torch.stack((first, second, ((first + second) == 0).float()))


def split_masks(source: Size, target: Size, latent: Size, box: Box) -> Tensor:
    """Masks of one person in a box; everybody else in the picture is the second person, and silent.

    Without a second person others would be background, which hears both voices.
    """
    inside = _draw(box, source, plan_crop(*source, *target), latent)
    return torch.stack((inside, 1 - inside, torch.zeros(latent)))


def whole_picture(latent: tuple[int, int]) -> Tensor:
    """Masks of a video with one person."""
    return torch.ones(3, *latent)


def token_masks(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring latent masks to the grid of tokens, `[3, tokens per frame]`."""
    return (F.interpolate(masks[None], size=grid, mode="nearest")[0] > 0).flatten(1)


def check_regions(masks: Tensor, grid: Size) -> None:
    """Refuse boxes that leave one of these people no token: too small, or cut away with the picture's border."""
    for number, mask in enumerate(token_masks(masks, grid), 1):
        if not bool(mask.any()):
            raise InvalidInput(
                "box",
                f"of person {number} is too small, or lies in the border that is cut off to fit the video's size",
                TOO_SMALL,
            )


def _draw(box: Box, source: Size, plan: CropPlan, latent: Size) -> Tensor:
    """A box is rows by columns, so that no mask as large as the picture is needed: it can have 50 megapixels."""
    rows = _sampled(source[0], plan.covering_height, plan.top, plan.height, latent[0])
    columns = _sampled(source[1], plan.covering_width, plan.left, plan.width, latent[1])
    inside_rows = (rows >= int(box.top)) & (rows < int(box.bottom))
    inside_columns = (columns >= int(box.left)) & (columns < int(box.right))
    return (inside_rows[:, None] & inside_columns[None]).float()


def _sampled(source: int, covering: int, start: int, length: int, latent: int) -> Tensor:
    """The rows (or columns) of the picture that the latents' rows are taken from."""
    rows = torch.arange(source, dtype=torch.float64)[None, None]
    scaled = F.interpolate(rows, size=covering, mode="nearest")[..., start : start + length]
    return F.interpolate(scaled, size=latent, mode="nearest")[0, 0]
