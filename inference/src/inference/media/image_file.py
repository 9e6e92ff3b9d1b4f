"""Decoding of the picture, upright, as a viewer shows it."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from inference.generation import InvalidInput
from inference.media.kinds import kind_of
from inference.media.limits import INVALID, PICTURE_FORMATS, PICTURE_FORMATS_TEXT, SMALLEST_SIDE, MediaLimits
from inference.media.pixels import UnknownNumbers, to_srgb

# Pillow's own limit is another number, and is checked only after some decoders have allocated all pixels.
Image.MAX_IMAGE_PIXELS = None

REDUCED_PICTURE = 1
"""A bit of TIFF's NewSubfileType: this is the small preview of another picture in the same file."""


def decode_image(path: Path, limits: MediaLimits) -> Image.Image:
    """Open a picture, turned by its EXIF orientation, in 8-bit sRGB; the size is checked before it is decoded."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as opened:
            _check_size(*opened.size, limits)
            _check_raw(opened)
            ImageOps.exif_transpose(opened, in_place=True)
            return to_srgb(opened)
    except InvalidInput:
        raise
    except UnknownNumbers as e:
        raise _refused(f"{e}.") from e
    except UnidentifiedImageError as e:
        raise _refused(_not_decoded(path)) from e
    except (OSError, ValueError, SyntaxError) as e:
        raise _refused(f"is a picture that cannot be decoded ({type(e).__name__}).") from e


def _check_size(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.pixels:
        raise _refused(f"has {width} x {height} pixels, more than {limits.pixels / 1e6:g} megapixels.")
    if min(width, height) < SMALLEST_SIDE:
        raise _refused(f"has {width} x {height} pixels, too few; each side needs {SMALLEST_SIDE}.")


def _check_raw(opened: Image.Image) -> None:
    """Raw files of cameras are TIFF too, and what Pillow sees of them is a preview."""
    tags = getattr(opened, "tag_v2", None)
    if tags and (ExifTags.Base.DNGVersion in tags or tags.get(ExifTags.Base.NewSubfileType, 0) & REDUCED_PICTURE):
        raise _refused("is a raw picture of a camera; save it as JPEG.")


def _not_decoded(path: Path) -> str:
    kind = kind_of(path)
    if not kind:
        return f"is not a picture that can be decoded; send {PICTURE_FORMATS_TEXT}."
    if any(kind.endswith(f" {form} picture") for form in PICTURE_FORMATS):
        return f"is {kind} that cannot be decoded; it may be damaged."
    return f"is {kind}, which cannot be decoded here; save it as {PICTURE_FORMATS_TEXT}."


def _refused(message: str) -> InvalidInput:
    return InvalidInput("input_reference", message, INVALID["input_reference"])
