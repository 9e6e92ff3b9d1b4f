"""The file of `input_reference`: a picture, or a clip where the weights dub clips."""

from __future__ import annotations

from pathlib import Path

from PIL.Image import Image

from inference.generation import InvalidInput
from inference.media.clip_file import Clip
from inference.media.image_file import decode_image
from inference.media.kinds import is_clip, kind_of
from inference.media.limits import INVALID, PICTURE_FORMATS_TEXT, MediaLimits


def open_reference(path: Path, limits: MediaLimits, *, clips: bool) -> Image | Clip:
    """Open it; both kinds have a size, and are closed by `with`. Raises `InvalidInput`."""
    if not is_clip(path):
        return decode_image(path, limits)
    if not clips:
        raise InvalidInput(
            "input_reference",
            f"is {kind_of(path)}, and the weights of this server take a picture. Send {PICTURE_FORMATS_TEXT}, or start "
            "the server with InfiniteTalk's weights (--audio-dir InfiniteTalk/single or InfiniteTalk/multi).",
            INVALID["input_reference"],
        )
    return Clip(path, limits)


def measure_reference(path: Path, limits: MediaLimits, *, clips: bool) -> tuple[int, int]:
    """Width and height, after all of it was decoded."""
    with open_reference(path, limits, clips=clips) as reference:
        if isinstance(reference, Clip):
            reference.read_to_end()
        return reference.size
