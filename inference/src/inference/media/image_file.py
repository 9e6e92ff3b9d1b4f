"""Decoding of the picture, upright and in RGB."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from inference.generation import InvalidInput

MOST_PIXELS = 50_000_000
SMALLEST_SIDE = 32
WIDEST_RATIO = 8.0
FIELD = "image"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""Only these decoders are let near a stranger's file; some of the others start programs."""


def decode_image(path: Path) -> Image.Image:
    """Open a picture, turned as its EXIF orientation says; the size is checked before the pixels are decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                _check_size(*opened.size)
                upright = ImageOps.exif_transpose(opened)
                return upright.convert("RGB")
    except InvalidInput:
        raise
    except UnidentifiedImageError as e:
        raise InvalidInput(FIELD, f"the file is no picture in a known format ({', '.join(FORMATS)})") from e
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise InvalidInput(FIELD, f"the picture has more than {MOST_PIXELS // 1_000_000} million pixels") from e
    except (OSError, ValueError, SyntaxError) as e:
        raise InvalidInput(FIELD, f"the picture cannot be decoded ({type(e).__name__})") from e


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise InvalidInput(FIELD, f"{width} x {height} pixels are more than {MOST_PIXELS // 1_000_000} million")
    if min(width, height) < SMALLEST_SIDE:
        raise InvalidInput(FIELD, f"{width} x {height} pixels are too few; each side needs {SMALLEST_SIDE}")
    if max(width, height) > WIDEST_RATIO * min(width, height):
        raise InvalidInput(FIELD, f"{width} x {height} pixels are too narrow; at most {WIDEST_RATIO:g} to 1")
