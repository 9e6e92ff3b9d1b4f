"""Decoding of the picture, upright and in RGB."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from inference.generation import InvalidInput
from inference.media.limits import INVALID, PICTURE_FORMATS, SMALLEST_SIDE, WIDEST_RATIO, MediaLimits

# Pillow's own limit is another number, and is checked only after some decoders have allocated all pixels.
Image.MAX_IMAGE_PIXELS = None


def decode_image(path: Path, limits: MediaLimits) -> Image.Image:
    """Open a picture, turned by its EXIF orientation; the size is checked before the pixels are decoded."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as opened:
            _check_size(*opened.size, limits)
            return ImageOps.exif_transpose(opened).convert("RGB")
    except InvalidInput:
        raise
    except UnidentifiedImageError as e:
        formats = ", ".join(PICTURE_FORMATS)
        raise _refused(f"is not a picture that can be decoded; send one of {formats}.") from e
    except (OSError, ValueError, SyntaxError) as e:
        raise _refused(f"is a picture that cannot be decoded ({type(e).__name__}).") from e


def _check_size(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.pixels:
        raise _refused(f"has {width} x {height} pixels, more than {limits.pixels / 1e6:g} megapixels.")
    if min(width, height) < SMALLEST_SIDE:
        raise _refused(f"has {width} x {height} pixels, too few; each side needs {SMALLEST_SIDE}.")
    if max(width, height) > WIDEST_RATIO * min(width, height):
        raise _refused(f"has {width} x {height} pixels, too narrow; at most {WIDEST_RATIO:g} to 1.")


def _refused(message: str) -> InvalidInput:
    return InvalidInput("input_reference", message, INVALID["input_reference"])
