"""Where the speakers are: masks of person 1, person 2 and background on the grid of latents.

The masks are drawn on the source picture and take the same way as the picture: scaled to cover the output, cut to its
middle, then sampled at the latents' grid, always by nearest neighbour. One person alone owns the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from inference.engine.video.frames import CropPlan, plan_crop
from inference.generation import Box, InvalidInput

MARGIN = 0.05
"""Share of a half picture that is left free around a speaker who has no box."""


def default_boxes(height: int, width: int) -> tuple[Box, Box]:
    """Split a picture into a left and a right speaker."""
    top, bottom, half = int(height * MARGIN), int(height * (1 - MARGIN)), width // 2
    near, far = int(half * MARGIN), int(half * (1 - MARGIN))
    shifted = int(half * MARGIN + half), int(half * (1 - MARGIN) + half)
    return Box(top, near, bottom, far), Box(top, shifted[0], bottom, shifted[1])


def check_boxes(boxes: Sequence[Box | None], height: int, width: int) -> tuple[Box, Box] | None:
    """Refuse boxes that are not inside the picture; None if the default halves are meant.

    One person alone owns the whole picture: a box is checked then, and makes no difference.
    """
    for number, box in enumerate(boxes, 1):
        if box is not None and not box.inside(height, width):
            raise InvalidInput(
                "box",
                f"of person {number} (top {box.top:g}, left {box.left:g}, bottom {box.bottom:g}, right {box.right:g}) "
                f"is not inside the picture, which is {height} high and {width} wide",
            )
    given = [box for box in boxes if box is not None]
    if len(boxes) < 2 or not given:
        return None
    if len(given) == 1:
        raise InvalidInput("box", "give one for both people, or for neither")
    return given[0], given[1]


def latent_masks(
    source: tuple[int, int], target: tuple[int, int], latent: tuple[int, int], boxes: tuple[Box, Box] | None
) -> Tensor:
    """Draw masks `[3, latent rows, latent columns]` for two people; sizes are (height, width)."""
    first, second = (_draw(box, source) for box in boxes or default_boxes(*source))
    background = ((first + second) == 0).float()
    full = torch.stack((first, second, background))
    plan = plan_crop(*source, *target)
    return F.interpolate(_crop(full, plan)[None], size=latent, mode="nearest")[0]


def whole_picture(latent: tuple[int, int]) -> Tensor:
    """Masks of a video with one person."""
    return torch.ones(3, *latent)


def token_masks(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring latent masks to the grid of tokens, `[3, tokens per frame]`."""
    return (F.interpolate(masks[None], size=grid, mode="nearest")[0] > 0).flatten(1)


def check_regions(masks: Tensor) -> None:
    """Refuse boxes that leave a speaker no token: too small, or cut away with the picture's border."""
    for number in range(2):
        if not bool(masks[number].any()):
            raise InvalidInput(
                "box",
                f"of person {number + 1} is too small, or lies in the border that is cut off to fit the video's size",
            )


def _draw(box: Box, source: tuple[int, int]) -> Tensor:
    mask = torch.zeros(source)
    mask[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = 1
    return mask


def _crop(masks: Tensor, plan: CropPlan) -> Tensor:
    scaled = F.interpolate(masks[None], size=(plan.covering_height, plan.covering_width), mode="nearest")[0]
    return scaled[:, plan.top : plan.top + plan.height, plan.left : plan.left + plan.width]
