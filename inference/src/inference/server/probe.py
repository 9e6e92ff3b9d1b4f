"""What an upload is: a picture of some size, a voice of some length, or nothing that can be used.

Uploads are strangers' files, so each is opened with a list of formats that may be tried: FFmpeg would otherwise follow
playlists to other files and hosts, and Pillow would start external programs for some formats. Pictures are bounded by
their header before a pixel is decoded. Everything is decoded to its end once, so that a damaged file is refused when
it is sent and not minutes later on the device.

It keeps no samples and no pixels; the engine decodes again for itself. A voice is only counted here, in constant
memory, while the engine's own decoder would hold all of it for every client that is being looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import av
from PIL import Image

from inference.generation import InvalidInput
from inference.media.image_file import decode_image
from inference.server.jobs import Clip

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
VOICE_FORMATS = "wav,w64,mp3,flac,ogg,aac,aiff,mov,matroska,webm,avi"
LONGEST_VOICE_S = 600.0
"""Bounds the time that decoding one voice can take: a small file can hold days of silence."""

_ALLOWED = {"format_whitelist": VOICE_FORMATS, "protocol_whitelist": "file"}


class Unusable(ValueError):
    """The file cannot be used; the message says why, without its place on the disk."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A still that decodes, in pixels as it is shown: upright, whatever its EXIF orientation says."""

    width: int
    height: int


def picture(path: Path, max_pixels: float) -> Picture:
    """Decode a picture as the engine will; raises `Unusable`."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as header:
            width, height = header.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unusable(f"has more than {max_pixels / 1e6:g} megapixels.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise Unusable(f"is not a picture that can be decoded; send one of {', '.join(PICTURE_FORMATS)}.") from error
    if width * height > max_pixels:
        raise Unusable(f"has {width} x {height} pixels, more than {max_pixels / 1e6:g} megapixels.")
    try:
        upright = decode_image(path)
    except InvalidInput as error:
        raise Unusable(f"cannot be used: {error.message}.") from error
    return Picture(upright.width, upright.height)


def voice_seconds(path: Path) -> float:
    """Decode a sound file to its end and tell its length; raises `Unusable`."""
    seconds = 0.0
    try:
        with av.open(str(path), options=_ALLOWED) as container:
            if not container.streams.audio:
                raise Unusable("holds no sound.")
            for frame in container.decode(audio=0):
                seconds += frame.samples / frame.sample_rate
                if seconds > LONGEST_VOICE_S:
                    raise Unusable(f"is longer than {LONGEST_VOICE_S:g} s.")
    except (av.FFmpegError, ValueError, ZeroDivisionError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable(
            "is not audio that can be decoded; send WAV, MP3, FLAC, OGG, M4A or a video with sound."
        ) from error
    if seconds == 0.0 or not math.isfinite(seconds):
        raise Unusable("holds no sound.")
    return seconds


def clip(path: Path) -> Clip:
    """Size and length of a finished video, from its header."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        return Clip(stream.width, stream.height, seconds, path.stat().st_size)
