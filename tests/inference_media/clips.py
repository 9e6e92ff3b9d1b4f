"""Clips whose pictures carry their number, in any container and codec, at any times."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from PIL import Image

BITS = 8
CLOCK = Fraction(1, 90_000)


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """A bar for each bit of the number, the lowest on the left; `[H, W, 3]`."""
    bars = [235 if number >> bit & 1 else 16 for bit in range(BITS)]
    row = np.repeat(np.array(bars, np.uint8), width // BITS)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def number_of(picture: Image.Image) -> int:
    """The number in a picture that shows it upright."""
    grey = np.asarray(picture.convert("L"))
    middle = grey[grey.shape[0] // 2]
    bars = [middle[round((bit + 0.5) * len(middle) / BITS)] > 128 for bit in range(BITS)]
    return sum(1 << bit for bit, bright in enumerate(bars) if bright)


def steady(rate: Fraction | int, count: int) -> tuple[Fraction, ...]:
    """Times of pictures at a rate."""
    return tuple(number / Fraction(rate) for number in range(count))


@dataclass(frozen=True, slots=True)
class Film:
    """How to write a clip; `times` are those of its pictures, in seconds."""

    form: str = "mp4"
    codec: str = "libx264"
    times: Sequence[Fraction] = steady(25, 10)
    rate: Fraction = Fraction(25)
    clock: Fraction = CLOCK
    width: int = 128
    height: int = 64
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    turned: float | None = None
    pixel_aspect: Fraction | None = None

    @property
    def stored(self) -> list[Fraction]:
        """The times, rounded by the clock."""
        return [round(at / self.clock) * self.clock for at in self.times]

    def content(self) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=self.form) as container:
            stream = cast(Any, container.add_stream(self.codec, rate=self.rate, options=self.options))
            stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.pixels
            stream.codec_context.time_base = self.clock
            if self.pixel_aspect is not None:
                stream.codec_context.sample_aspect_ratio = self.pixel_aspect
            if self.turned is not None:
                stream.set_display_rotation(self.turned)
            for frame in self._frames():
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return buffer.getvalue()

    def _frames(self) -> Iterator[av.VideoFrame]:
        for number, at in enumerate(self.times):
            picture = numbered(number, self.width, self.height)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=self.pixels)
            frame.pts, frame.time_base = round(at / self.clock), self.clock
            yield frame
