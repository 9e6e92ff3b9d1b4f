"""The inputs of a video as tensors: frames of the source, features of the voices, and where the people are.

Frames and features are asked for window by window, so that memory does not grow with the length of a video.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from torch import Tensor

from inference.engine.video.buckets import Size
from inference.engine.video.frames import resize_crop, to_pixels
from inference.engine.video.windows import Window, gather
from inference.media.clip_file import Clip
from inference.multitalk import FPS


class Source(Protocol):
    """A picture, or a clip."""

    def frame(self, number: int) -> Tensor:
        """Frame `number` of the video at the output size, `[3, 1, H, W]` in -1..1; numbers never go back."""
        ...


@dataclass(frozen=True, slots=True)
class Still:
    """A picture: every frame is the same."""

    picture: Tensor
    """`[3, 1, H, W]` in -1..1."""

    def frame(self, number: int) -> Tensor:  # noqa: ARG002 - a picture has no time
        """Return the picture."""
        return self.picture


@dataclass(frozen=True, slots=True)
class Film:
    """A clip: the picture that is shown at the time of each frame."""

    clip: Clip
    size: Size

    def frame(self, number: int) -> Tensor:
        """Read on to this frame."""
        return to_pixels(resize_crop(self.clip.at(Fraction(number, FPS)), *self.size))


class Voices(Protocol):
    """Features of all voices on one time line."""

    @property
    def frames(self) -> int:
        """Video frames that they last."""
        ...

    def heard(self, window: Window) -> Tensor:
        """What each frame of a window hears, `[people, frames, 2 * CONTEXT + 1, layers, dim]`."""
        ...


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features that are there at once."""

    features: Tensor
    """`[people, video frames, layers, dim]`."""

    @property
    def frames(self) -> int:
        """Rows of the table."""
        return self.features.shape[1]

    def heard(self, window: Window) -> Tensor:
        """Pick the rows of a window."""
        return gather(self.features, window)


@dataclass(frozen=True, slots=True)
class Scene:
    """The inputs of one video."""

    source: Source
    voices: Voices
    masks: Tensor
    """Person 1, person 2 and background, `[3, h, w]` on the latents' grid."""
