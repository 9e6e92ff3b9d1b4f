"""A clip looks as in a player: upright, with square pixels, in its colours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from PIL import Image

from inference.generation import InvalidInput
from inference.media.clip_file import Clip
from inference.media.limits import DEFAULT_LIMITS

QUARTERS = np.array([[16, 90], [165, 235]], np.uint8).repeat(32, 0).repeat(48, 1)
TURNS = {
    "upright": ((0, False, False), None),
    "a quarter": ((90, False, False), Image.Transpose.ROTATE_90),
    "half": ((180, False, False), Image.Transpose.ROTATE_180),
    "three quarters": ((-90, False, False), Image.Transpose.ROTATE_270),
    "mirrored": ((0, True, False), Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down in a mirror": ((0, False, True), Image.Transpose.FLIP_TOP_BOTTOM),
}


def write(
    path: Path,
    planes: Sequence[np.ndarray],
    pixels: str = "gray",
    *,
    turn: tuple[float, bool, bool] | None = None,
    pixel_aspect: Fraction | None = None,
    tags: str = "",
) -> Clip:
    """A clip of one picture, without loss."""
    buffer = io.BytesIO()
    height, width = planes[0].shape
    with av.open(buffer, "w", format="mp4") as container:
        options = {"qp": "0", "preset": "ultrafast"} | ({"x264-params": tags} if tags else {})
        stream = cast(Any, container.add_stream("libx264", rate=25, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        frame = av.VideoFrame(width, height, pixels)
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
            rows[:, : values.shape[1]] = values
            plane.update(rows.tobytes())
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(buffer.getvalue())
    return Clip(path, DEFAULT_LIMITS)


@pytest.mark.parametrize("name", TURNS)
def test_a_clip_is_turned_and_mirrored_as_its_file_says(tmp_path: Path, name: str) -> None:
    turn, expected = TURNS[name]
    as_stored = Image.fromarray(QUARTERS)
    wanted = as_stored.transpose(expected) if expected is not None else as_stored
    with write(tmp_path / "clip", [QUARTERS], turn=turn) as clip:
        seen = clip.at(Fraction(0))
    assert seen.size == wanted.size == clip.size
    stretched = (np.asarray(wanted, float) - 16) * 255 / 219  # limited range
    assert np.abs(np.asarray(seen, float)[..., 1] - stretched).mean() < 3


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (128, 64)), (Fraction(3, 4), (96, 85)), (Fraction(1), (96, 64))]
)
def test_pixels_that_are_not_square_are_made_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    with write(tmp_path / "clip", [QUARTERS], pixel_aspect=aspect) as clip:
        assert clip.size == clip.at(Fraction(0)).size == size


def test_a_turned_clip_with_pixels_that_are_not_square_is_as_wide_as_it_was_high(tmp_path: Path) -> None:
    with write(tmp_path / "clip", [QUARTERS], pixel_aspect=Fraction(4, 3), turn=(90, False, False)) as clip:
        assert clip.size == (64, 128)


# Colours.

BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
"""Weights of red and blue."""
YELLOW = (170, 60, 150)


def rgb_of(y: float, cb: float, cr: float, weights: tuple[float, float], *, full: bool = False) -> list[float]:
    """What numbers of 8 bits mean."""
    red, blue = weights
    low, luma, chroma = (0, 255, 255) if full else (16, 219, 224)
    y, cb, cr = (y - low) / luma, (cb - 128) / chroma, (cr - 128) / chroma
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    return [255 * min(1, max(0, each)) for each in (r, (y - red * r - blue * b) / (1 - red - blue), b)]


def colour(
    path: Path, tags: str = "", *, side: tuple[int, int] = (64, 64), yuv: tuple[int, int, int] = YELLOW, bits: int = 8
) -> np.ndarray:
    """What becomes of one colour."""
    kind = np.uint8 if bits == 8 else np.uint16
    planes = [np.full(side, each << (bits - 8), kind) for each in yuv]
    with write(path / "clip", planes, "yuv444p" if bits == 8 else "yuv444p10le", tags=tags) as clip:
        return np.array(clip.at(Fraction(0)).getpixel((side[1] // 2, side[0] // 2)), float)


@pytest.mark.parametrize(
    ("tags", "side", "weights", "full"),
    [
        ("colormatrix=bt470bg", (64, 64), BT601, False),
        ("colormatrix=smpte170m", (720, 1280), BT601, False),
        ("colormatrix=bt709", (64, 64), BT709, False),
        ("colormatrix=bt709:fullrange=on", (64, 64), BT709, True),
        ("colormatrix=bt2020nc:colorprim=bt709", (64, 64), BT2020, False),
        ("", (64, 64), BT601, False),
        ("", (720, 1280), BT709, False),
        ("", (1280, 720), BT709, False),
    ],
    ids=["601", "601 in HD", "709", "full range", "2020's matrix", "none stated, SD", "none stated, HD", "HD, upright"],
)
def test_numbers_are_read_by_the_matrix_and_range_of_the_file_or_by_its_size(
    tmp_path: Path, tags: str, side: tuple[int, int], weights: tuple[float, float], full: bool
) -> None:
    assert colour(tmp_path, tags, side=side) == pytest.approx(rgb_of(*YELLOW, weights, full=full), abs=2)


def test_ten_bits_become_eight(tmp_path: Path) -> None:
    assert colour(tmp_path, "colormatrix=bt709", bits=10) == pytest.approx(rgb_of(*YELLOW, BT709), abs=2)


def test_wide_gamut_is_converted(tmp_path: Path) -> None:
    """What is pale in Display P3 is stronger in the numbers of BT.709."""
    same = rgb_of(*YELLOW, BT709)
    seen = colour(tmp_path, "colormatrix=bt709:colorprim=smpte432:transfer=bt709")
    assert max(seen) - min(seen) > max(same) - min(same) + 3
    grey = colour(tmp_path, "colormatrix=bt709:colorprim=smpte432:transfer=bt709", yuv=(126, 128, 128))
    assert grey == pytest.approx(rgb_of(126, 128, 128, BT709), abs=2)


@pytest.mark.parametrize(("transfer", "white"), [("arib-std-b67", 721), ("smpte2084", 573)], ids=["HLG", "PQ"])
def test_hdr_is_brought_to_the_range_of_a_screen(tmp_path: Path, transfer: str, white: int) -> None:
    """`white` is that of paper, of 203 cd/m2 (BT.2408); what is brighter is cut off."""
    tags = f"colormatrix=bt2020nc:colorprim=bt2020:transfer={transfer}"
    levels = (64, (64 + white) // 2, white, 940)
    bands = np.repeat(np.array(levels, np.uint16), 16)
    planes = [np.tile(bands, (64, 1)), *[np.full((64, 64), 512, np.uint16)] * 2]
    with write(tmp_path / "clip", planes, "yuv444p10le", tags=tags) as clip:
        black, middle, paper, brightest = map(int, np.asarray(clip.at(Fraction(0)))[32, 8::16, 1])
    assert black <= 4
    assert 40 <= middle <= 160
    assert 215 <= paper <= 255
    assert paper <= brightest <= 255


def test_colours_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"save it in BT.709") as caught:
        colour(tmp_path, "colormatrix=chroma-derived-c:colorprim=bt2020:transfer=smpte2084")
    assert caught.value.code == "invalid_video"
