"""What the numbers of a picture mean: its depth, its colour profile and its transparency, brought to 8-bit sRGB.

depth         16 bits of grey: the upper 8, as Pillow takes of 16-bit colours; float: 0 is black, 1 is white
profile       sRGB by LittleCMS; a picture without one, or with one that cannot be read, is sRGB already
transparency  white behind it; what colour lies under a transparent pixel is never seen
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageChops, ImageCms

SRGB = ImageCms.createProfile("sRGB")
LAB = ImageCms.createProfile("LAB")
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")


class UnknownNumbers(ValueError):
    """Nothing says how to show this picture; the message says what is wrong with it."""


def to_srgb(image: Image.Image) -> Image.Image:
    """A picture as a viewer shows it, in RGB; raises `UnknownNumbers`."""
    profile = _read_profile(image.info.get("icc_profile"))
    colours, opacity = _split(image)
    colours = _convert(colours, profile)
    if opacity is not None:
        colours.paste((255, 255, 255), mask=ImageChops.invert(opacity))
    return colours


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours of 8 bits, and opacity where there is transparency."""
    if image.mode in _SIXTEEN:
        return _sixteen(image)
    if image.mode == "I":
        raise UnknownNumbers("has whole numbers of 32 bits for its pixels; save it with 8 or 16 bits")
    if image.mode == "F":
        return _float(image), None
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    if image.mode in ("RGB", "L", "CMYK", "LAB"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _sixteen(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    numbers = np.asarray(image)
    clear = image.info.get("transparency")
    opacity = None if clear is None else Image.fromarray(np.where(numbers == clear, 0, 255).astype(np.uint8))
    return Image.fromarray((numbers >> 8).astype(np.uint8)), opacity


def _float(image: Image.Image) -> Image.Image:
    numbers = np.asarray(image)
    least, most = float(numbers.min()), float(numbers.max())
    if not (least >= 0 and most <= 1):
        raise UnknownNumbers(f"has pixels from {least:g} to {most:g}, not 0 to 1; save it with 8 or 16 bits")
    return Image.fromarray((numbers * np.float32(255) + np.float32(0.5)).astype(np.uint8))


def _read_profile(content: bytes | None) -> ImageCms.ImageCmsProfile | None:
    if not content:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(content))
    except (OSError, ImageCms.PyCMSError):
        return None


def _convert(colours: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    if colours.mode == "LAB":
        return _transformed(colours, ImageCms.ImageCmsProfile(LAB))
    space = profile.profile.xcolor_space.strip() if profile else None
    if colours.mode == "L" and space == "RGB":
        colours = colours.convert("RGB")
    if profile is not None and space == _SPACES[colours.mode] and not _is_srgb(profile):
        return _transformed(colours, profile)
    return colours.convert("RGB")


def _transformed(colours: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    try:
        transform = ImageCms.buildTransform(profile, SRGB, colours.mode, "RGB")
        return ImageCms.applyTransform(colours, transform) or colours
    except ImageCms.PyCMSError:
        if colours.mode == "LAB":
            raise
        return colours.convert("RGB")


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """What most files have: nothing is to be done, and no rounding either."""
    return (profile.profile.profile_description or "").startswith("sRGB")
