"""Pictures mean what their files say: depth, profile, transparency and orientation."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, TiffTags

from inference.generation import InvalidInput
from inference.media.image_file import decode_image
from inference.media.limits import DEFAULT_LIMITS, PICTURE_FORMATS
from inference_media.profiles import ADOBE_RGB, DISPLAY_P3, grey_profile, rgb_profile, stored
from inference_server.hostile_media import saved

SIZE = (64, 48)
MAGENTA, WHITE = (255, 0, 255), (255, 255, 255)
ORANGE = (230, 120, 40)


def decoded(folder: Path, content: bytes) -> Image.Image:
    (folder / "picture").write_bytes(content)
    picture = decode_image(folder / "picture", DEFAULT_LIMITS)
    assert picture.mode == "RGB"
    return picture


def colour_of(folder: Path, content: bytes) -> tuple[int, ...]:
    """Of a picture that has one colour."""
    picture = decoded(folder, content)
    low, high = np.array(picture.getextrema()).T
    assert (high - low).max() <= 4
    return tuple(int(value) for value in np.asarray(picture)[20, 20])


def flat(mode: str, colour: object, form: str = "PNG", **options: object) -> Callable[[], bytes]:
    return lambda: saved(Image.new(mode, SIZE, colour), form, **options)  # type: ignore[arg-type]


def numbers(value: float, kind: type, form: str, **options: object) -> Callable[[], bytes]:
    return lambda: saved(Image.fromarray(np.full(SIZE[::-1], value, kind)), form, **options)


def palette(**options: object) -> bytes:
    picture = Image.new("P", SIZE, 1)
    picture.putpalette([0, 0, 0, *MAGENTA])
    return saved(picture, "PNG", **options)


LOSSLESS = {"lossless": True, "exact": True}
COLOURS: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "grey": (flat("L", 128), (128, 128, 128)),
    "black and white": (flat("1", 1), WHITE),
    "16 bits of grey": (numbers(32_768, np.uint16, "PNG"), (128, 128, 128)),
    "16 bits of grey, TIFF": (numbers(32_768, np.uint16, "TIFF"), (128, 128, 128)),
    "the darkest of 16 bits": (numbers(255, np.uint16, "PNG"), (0, 0, 0)),
    "float": (numbers(0.5, np.float32, "TIFF"), (128, 128, 128)),
    "transparent PNG": (flat("RGBA", (*MAGENTA, 0)), WHITE),
    "half transparent PNG": (flat("RGBA", (0, 0, 0, 128)), (127, 127, 127)),
    "opaque PNG": (flat("RGBA", (*MAGENTA, 255)), MAGENTA),
    "transparent WEBP": (flat("RGBA", (*MAGENTA, 0), "WEBP", **LOSSLESS), WHITE),
    "transparent TIFF": (flat("RGBA", (*MAGENTA, 0), "TIFF"), WHITE),
    "transparent AVIF": (flat("RGBA", (*MAGENTA, 0), "AVIF"), WHITE),
    "transparent grey": (flat("LA", (10, 0)), WHITE),
    "palette": (palette, MAGENTA),
    "transparent palette": (lambda: palette(transparency=1), WHITE),
    "a colour that stands for transparency": (flat("RGB", MAGENTA, transparency=MAGENTA), WHITE),
    "a grey that stands for transparency": (flat("L", 7, transparency=7), WHITE),
    "16 bits that stand for transparency": (numbers(40_000, np.uint16, "PNG", transparency=40_000), WHITE),
    "CMYK": (flat("CMYK", (0, 255, 255, 0), "TIFF"), (255, 0, 0)),
    "CMYK, JPEG": (flat("CMYK", (0, 255, 255, 0), "JPEG"), (254, 0, 0)),
    "L*a*b*": (flat("LAB", (128, 128, 128), "TIFF"), (119, 119, 119)),
}


@pytest.mark.parametrize(("content", "colour"), COLOURS.values(), ids=COLOURS.keys())
def test_a_colour_is_shown_as_a_viewer_shows_it(
    tmp_path: Path, content: Callable[[], bytes], colour: tuple[int, int, int]
) -> None:
    assert colour_of(tmp_path, content()) == pytest.approx(colour, abs=1)


@pytest.mark.parametrize("form", [form for form in PICTURE_FORMATS if form != "BMP"])
@pytest.mark.parametrize("primaries", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
def test_a_profile_is_heeded(tmp_path: Path, primaries: np.ndarray, form: str) -> None:
    picture = Image.new("RGB", SIZE, stored(ORANGE, primaries))
    content = saved(picture, form, icc_profile=rgb_profile(primaries), quality=98)
    assert colour_of(tmp_path, content) == pytest.approx(ORANGE, abs=8)


def test_a_profile_is_heeded_under_transparency_and_in_a_palette(tmp_path: Path) -> None:
    colour, profile = stored(ORANGE, DISPLAY_P3), rgb_profile(DISPLAY_P3)
    picture = Image.new("RGBA", SIZE, (*colour, 255))
    for made in (picture, picture.convert("P", palette=Image.Palette.ADAPTIVE)):
        assert colour_of(tmp_path, saved(made, "PNG", icc_profile=profile)) == pytest.approx(ORANGE, abs=8)
    clear = saved(Image.new("RGBA", SIZE, (*colour, 0)), "PNG", icc_profile=profile)
    assert colour_of(tmp_path, clear) == WHITE


def test_a_profile_of_grey_is_heeded(tmp_path: Path) -> None:
    linear = saved(Image.new("L", SIZE, 55), "PNG", icc_profile=grey_profile(1.0))
    assert colour_of(tmp_path, linear) == pytest.approx((128, 128, 128), abs=3)


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", srgb()), ("L", srgb()), ("RGB", b"no profile" * 20), ("RGB", grey_profile(1.0))],
    ids=["sRGB", "sRGB on grey", "broken", "of another kind"],
)
def test_a_profile_that_says_nothing_changes_nothing(tmp_path: Path, mode: str, profile: bytes) -> None:
    noise = Image.effect_noise(SIZE, 60).convert(mode)
    with_profile = decoded(tmp_path, saved(noise, "PNG", icc_profile=profile))
    assert with_profile.tobytes() == noise.convert("RGB").tobytes()


@pytest.mark.parametrize("form", [form for form in PICTURE_FORMATS if form != "BMP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path: Path, form: str, turn: int) -> None:
    """Red is on the left of what is stored; it ends where the camera's top says."""
    exif = Image.Exif()
    exif[0x0112] = turn
    lying = Image.new("RGB", (96, 64))
    lying.paste((255, 0, 0), (0, 0, 48, 64))
    picture = decoded(tmp_path, saved(lying, form, exif=exif))
    assert picture.size == ((96, 64) if turn < 5 else (64, 96))
    width, height = picture.size
    at = {1: (4, 32), 2: (92, 32), 3: (92, 32), 4: (4, 32)}.get(turn) or (32, 4 if turn in (5, 6) else height - 4)
    red, *_ = np.asarray(picture)[at[1], at[0]].tolist()
    other, *_ = np.asarray(picture)[height - 1 - at[1], width - 1 - at[0]].tolist()
    assert (red > 200, other < 50) == (True, True)


def raw_of_a_camera() -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[ExifTags.Base.DNGVersion] = TiffTags.BYTE
    tags[ExifTags.Base.DNGVersion] = b"\1\4\0\0"
    return saved(Image.new("RGB", SIZE), "TIFF", tiffinfo=tags)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "GIF": (flat("P", 0, "GIF"), "a GIF picture"),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "a HEIC picture"),
    "HEIC by its second brand": (lambda: b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(200), "a HEIC picture"),
    "JPEG 2000": (flat("RGB", 0, "JPEG2000"), "a JPEG 2000 picture"),
    "JPEG XL": (lambda: b"\xff\x0a" + bytes(100), "a JPEG XL picture"),
    "ICO": (flat("RGB", 0, "ICO"), "an ICO picture"),
    "SVG": (lambda: b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
    "PDF": (flat("RGB", 0, "PDF"), "a PDF file"),
    "Photoshop": (lambda: b"8BPS" + bytes(100), "a Photoshop file"),
    "a sound": (lambda: b"RIFF\0\0\0\0WAVE" + bytes(50), "a WAV file"),
    "a video": (lambda: b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(50), "an MP4 or MOV file"),
    "a web page": (lambda: b"\n<html><body>404", "a web page"),
    "nothing": (lambda: b"", "an empty file"),
    "a raw picture": (raw_of_a_camera, "raw picture of a camera"),
    "32 bits": (numbers(5, np.int32, "TIFF"), "whole numbers of 32 bits"),
    "float beyond white": (numbers(300.0, np.float32, "TIFF"), "from 300 to 300"),
    "float that is no number": (numbers(float("nan"), np.float32, "TIFF"), "nan"),
}


@pytest.mark.parametrize(("content", "name"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_shown_is_named(tmp_path: Path, content: Callable[[], bytes], name: str) -> None:
    (tmp_path / "picture").write_bytes(content())
    with pytest.raises(InvalidInput, match=name) as caught:
        decode_image(tmp_path / "picture", DEFAULT_LIMITS)
    assert caught.value.field == "input_reference"


def test_the_first_picture_of_several_is_taken(tmp_path: Path) -> None:
    for form in ("MPO", "WEBP", "PNG", "TIFF", "AVIF"):
        first, second = (Image.new("RGB", SIZE, colour) for colour in ((200, 0, 0), (0, 200, 0)))
        buffer = io.BytesIO()
        first.save(buffer, form, save_all=True, append_images=[second])
        assert colour_of(tmp_path, buffer.getvalue()) == pytest.approx((200, 0, 0), abs=4)
