"""Lengths and sizes that a checkpoint was trained for.

The released model makes windows of 81 frames, each continuing the last 25 of the one before, at the sizes of
`video.buckets`. A checkpoint for other windows or smaller pictures (such as the tiny one for tests) says so in its
`config.json`:

    "multitalk_geometry": {"frame_num": 9, "motion_frames": 5, "scale": 0.1}

`scale` multiplies both sides of an output size, which is then rounded to whole tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inference.engine.errors import CheckpointError
from inference.engine.video.buckets import SIZES, Size, nearest_size

KEY = "multitalk_geometry"
DEFAULT_FRAMES = 81
DEFAULT_MOTION = 25


@dataclass(frozen=True, slots=True)
class Geometry:
    """Frames of a window, frames it takes over, and the scale of its pictures."""

    frame_num: int = DEFAULT_FRAMES
    motion_frames: int = DEFAULT_MOTION
    scale: float = 1.0
    granularity: int = 16
    """Pixels per token: the autoencoder's stride times the transformer's patch."""

    def __post_init__(self) -> None:
        """Refuse lengths that do not divide into latent frames."""
        if self.frame_num < 5 or self.frame_num % 4 != 1:
            raise CheckpointError(f"reading config.json: {KEY}.frame_num must be 4n + 1, found {self.frame_num}")
        if not 1 <= self.motion_frames < self.frame_num or self.motion_frames % 4 != 1:
            raise CheckpointError(f"reading config.json: {KEY}.motion_frames must be 4n + 1 and below frame_num")
        if not 0 < self.scale <= 1:
            raise CheckpointError(f"reading config.json: {KEY}.scale must be above 0 and at most 1")

    @classmethod
    def from_settings(cls, settings: Mapping[str, object]) -> Geometry:
        """Read the optional entry of config.json."""
        given = settings.get(KEY, {})
        if not isinstance(given, dict) or given.keys() - {"frame_num", "motion_frames", "scale"}:
            raise CheckpointError(
                f"reading config.json: {KEY} may hold frame_num, motion_frames and scale, found {given}"
            )
        try:
            return cls(
                frame_num=int(given.get("frame_num", DEFAULT_FRAMES)),
                motion_frames=int(given.get("motion_frames", DEFAULT_MOTION)),
                scale=float(given.get("scale", 1.0)),
            )
        except (TypeError, ValueError) as e:
            raise CheckpointError(f"reading config.json: {KEY}: {e}") from e

    def most_pixels(self, resolution: str) -> int:
        """Pixels of a frame at the largest size of a resolution."""
        return max(height * width for height, width in map(self._scaled, SIZES[resolution]))

    def tokens(self, pixels: int) -> int:
        """Tokens of a window whose frames have so many pixels."""
        latent_frames = 1 + (self.frame_num - 1) // 4
        return latent_frames * pixels // self.granularity**2

    def output_size(self, height: int, width: int, resolution: str) -> Size:
        """Pick the output size (height, width) for a picture."""
        return self._scaled(nearest_size(height, width, resolution))

    def token_grid(self, size: Size) -> Size:
        """Rows and columns of tokens of a frame."""
        return size[0] // self.granularity, size[1] // self.granularity

    def _scaled(self, size: Size) -> Size:
        if self.scale == 1:
            return size
        rows, columns = (max(2, round(side * self.scale / self.granularity)) * self.granularity for side in size)
        return rows, columns
