"""How a frame of a clip is shown: upright, with square pixels, in the colours that its numbers mean.

A display matrix (a, b, c, d) leads the point (x, y) of a frame to (ax + cy, bx + dy), y downwards. It turns by right
angles and mirrors; others are brought to the nearest.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, Interpolation, VideoReformatter
from PIL import Image

Matrix = tuple[int, int, int, int]

UPRIGHT: Matrix = (1, 0, 0, 1)
UNSPECIFIED = 2
"""As FFmpeg numbers matrices."""
HD_WIDTH, HD_HEIGHT = 1280, 577
"""From here on players take the matrix of HD television where a file states none."""
WIDE = (ColorPrimaries.BT2020, ColorPrimaries.SMPTE428, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432)
HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, slots=True)
class Display:
    """What is made of each frame of a clip: this size first, then turned or mirrored."""

    width: int
    height: int
    matrix: Matrix

    @classmethod
    def of(cls, frame: VideoFrame, pixel_aspect: Fraction | None) -> Display:
        """Square pixels, never fewer than the frame has."""
        aspect = pixel_aspect or Fraction(1)
        width, height = round(frame.width * max(aspect, Fraction(1))), round(frame.height / min(aspect, Fraction(1)))
        return cls(width, height, _matrix(frame))

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as they are shown."""
        return (self.width, self.height) if self.matrix[0] else (self.height, self.width)

    def picture(self, frame: VideoFrame, reformatter: VideoReformatter) -> Image.Image:
        """Convert a frame; raises an error of FFmpeg for colours that it cannot convert."""
        pixels = _to_rgb(frame, self.width, self.height, reformatter).to_ndarray()
        a, b, c, d = self.matrix
        turned = pixels[::d, ::a] if a else pixels.transpose(1, 0, 2)[::b, ::c]
        return Image.fromarray(np.ascontiguousarray(turned))


def _to_rgb(frame: VideoFrame, width: int, height: int, reformatter: VideoReformatter) -> VideoFrame:
    """The numbers of BT.709 and of sRGB stay as they are, as players show them; others are converted."""
    hd = frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT
    by_size = Colorspace.ITU709 if hd else Colorspace.ITU601
    convert = frame.color_primaries in WIDE or frame.color_trc in HDR
    return reformatter.reformat(
        frame,
        width,
        height,
        "rgb24",
        src_colorspace=by_size if frame.colorspace == UNSPECIFIED else None,
        interpolation=ACCURATE,
        dst_color_trc=ColorTrc.BT709 if convert else None,
        dst_color_primaries=ColorPrimaries.BT709 if convert else None,
        threads=1,
    )


def _matrix(frame: VideoFrame) -> Matrix:
    data = cast(Mapping[str, Any], frame.side_data).get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _sign(a), 0, 0, _sign(d)
    return 0, _sign(b), _sign(c), 0


def _sign(number: int) -> int:
    return -1 if number < 0 else 1
