"""Output sizes: for each resolution the sizes that the model was trained for, one per aspect ratio.

All sizes of a resolution have about the same number of tokens, so that a step takes about the same time. The size
whose ratio of height to width, in hundredths, is nearest to the picture's is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

Size = tuple[int, int]
"""Height, width."""

SIZES: Mapping[str, tuple[Size, ...]] = {
    "multitalk-480": (
        (320, 1216), (384, 1024), (448, 896), (512, 768), (576, 704), (640, 640), (704, 576), (768, 512),
        (832, 448), (896, 448), (960, 384), (1088, 384), (1152, 320), (1216, 320), (1280, 320),
    ),
    "multitalk-720": (
        (448, 2048), (512, 1792), (576, 1600), (640, 1408), (704, 1280), (768, 1216), (832, 1088), (896, 1024),
        (960, 960), (1024, 896), (1088, 832), (1152, 768), (1216, 768), (1280, 704), (1344, 704), (1408, 640),
        (1472, 640), (1536, 576), (1664, 576), (1856, 512), (1920, 512),
    ),
}  # fmt: skip


def nearest_size(height: int, width: int, resolution: str) -> Size:
    """Pick the output size for a picture."""
    ratio = height / width
    return min(SIZES[resolution], key=lambda size: abs(round(size[0] / size[1], 2) - ratio))
