"""Decoding of a clip: what a viewer shows at a time, upright, in 8-bit RGB.

Times are those of its timestamps, from the first picture on, so that clips of any rate do not drift. It reads forward
and holds two pictures, so that memory does not grow with the length. How a picture is shown: `media.display`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from inference.generation import InvalidInput
from inference.media.display import Display
from inference.media.kinds import kind_of
from inference.media.limits import (
    CLIP_CODECS,
    CLIP_CONTAINERS,
    CLIP_FORMATS_TEXT,
    INVALID_CLIP,
    MOST_STREAMS,
    SMALLEST_SIDE,
    TOO_LONG,
    MediaLimits,
)
from inference.media.voice_clock import CLOCKED
from inference.multitalk import FPS

TOLERANCE_S = Fraction(1, 1000)
"""Matroska rounds timestamps to a millisecond."""
SAME_SHAPE = 0.02
"""Share by which the shape of a picture may differ from that of the first: sides are whole numbers."""
NO_FILM = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
OPEN_OPTIONS = {
    "format_whitelist": ",".join(name for names in CLIP_CONTAINERS.values() for name in names),
    "codec_whitelist": ",".join(CLIP_CODECS),
    "protocol_whitelist": "file",
    "max_streams": str(MOST_STREAMS),
}

Timed = tuple[Fraction, VideoFrame]
"""A frame and when it is shown, in seconds."""


class Clip:
    """An open clip; raises `InvalidInput` where it cannot be used."""

    def __init__(self, path: Path, limits: MediaLimits) -> None:
        self._path = path
        self._limits = limits
        self._frames = self._decode()
        self._reformatter = VideoReformatter()
        try:
            first = next(self._frames, None)
            if first is None:
                raise _refused("holds no picture that can be decoded.")
            self._shown = first
            self._picture = self._convert()
            self._coming = next(self._frames, None)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as a viewer shows them."""
        return self._display.upright

    def at(self, seconds: Fraction) -> Image.Image:
        """The picture at a time, the last one beyond the end. Times must not go back."""
        shown = self._shown
        while self._coming is not None and self._coming[0] <= seconds + TOLERANCE_S:
            self._advance()
        if self._shown is not shown:
            self._picture = self._convert()
        return self._picture

    def read_to_end(self) -> None:
        """Decode the rest, and convert nothing."""
        while self._coming is not None:
            self._advance()

    def close(self) -> None:
        self._frames.close()

    def __enter__(self) -> Clip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _advance(self) -> None:
        assert self._coming is not None
        self._shown, self._coming = self._coming, next(self._frames, None)

    def _convert(self) -> Image.Image:
        try:
            return self._display.picture(self._shown[1], self._reformatter)
        except (av.FFmpegError, OSError, ValueError) as e:
            raise _refused("has colours that cannot be converted here; save it in BT.709 (SDR).") from e

    def _decode(self) -> Generator[Timed, None, None]:
        try:
            options = OPEN_OPTIONS | {"max_pixels": _most_coded(self._limits)}
            with av.open(str(self._path), options=options, metadata_errors="ignore") as container:
                yield from self._placed(container)
        except InvalidInput:
            raise
        except (av.FFmpegError, OSError, ValueError) as e:
            raise _refused(_not_decoded(self._path)) from e

    def _placed(self, container: InputContainer) -> Generator[Timed, None, None]:
        """Frames and when they are shown. One without a timestamp follows the one before; none goes back."""
        film = _film(container, self._limits)
        frames = _frames(container, film, self._limits)
        first = next(frames, None)
        if first is None:
            return
        size = first.width, first.height
        self._display = _display(first, film.sample_aspect_ratio, self._limits)
        step = 1 / Fraction(film.average_rate or FPS)
        clocked = not CLOCKED.isdisjoint(container.format.name.split(","))
        begin, at = _stated(first, clocked) or Fraction(0), Fraction(0)
        yield at, first
        del first
        for frame in frames:
            stated = _stated(frame, clocked)
            at = max(at, at + step if stated is None else stated - begin)
            _check_shape(frame, size, at)
            if not self._limits.allow(float(at)):
                raise _refused(f"is longer than {self._limits.seconds:g} s; cut it.", TOO_LONG)
            yield at, frame


def _stated(frame: VideoFrame, clocked: bool) -> Fraction | None:
    """AVI counts pictures as they are stored; FFmpeg's guess when each is shown is wrong with B-frames."""
    tick = frame.pts if clocked else frame.dts
    return None if tick is None or frame.time_base is None else Fraction(tick * frame.time_base)


def _film(container: InputContainer, limits: MediaLimits) -> VideoStream:
    """The first video stream that is no cover."""
    if len(container.streams) >= MOST_STREAMS:
        raise _refused(f"has {MOST_STREAMS} streams or more; save its video alone.")
    film = next((each for each in container.streams.video if not each.disposition & NO_FILM), None)
    if film is None:
        raise _refused("holds no video.")
    codec = film.codec_context
    if codec is None or codec.name not in CLIP_CODECS:  # FFmpeg's list applies only while it examines the file
        name = codec.name if codec else "unknown"
        raise _refused(f"holds video in the format {name}, which is not decoded here; save it as H.264.")
    _check_size(film.width, film.height, limits)
    codec.thread_count, codec.thread_type = 1, ThreadType.NONE  # others would each hold frames of their own
    codec.options = {"threads": "1", "max_pixels": _most_coded(limits), "codec_whitelist": codec.name}
    return film


def _most_coded(limits: MediaLimits) -> str:
    """What a decoder may make room for: it rounds sizes up."""
    return str(2 * limits.clip_pixels)


def _frames(container: InputContainer, film: VideoStream, limits: MediaLimits) -> Iterator[VideoFrame]:
    """Each is bounded before anything is made of it: a stream can change its size."""
    for packet in container.demux(film):
        for frame in packet.decode():
            _check_size(frame.width, frame.height, limits)
            yield frame


def _display(frame: VideoFrame, pixel_aspect: Fraction | None, limits: MediaLimits) -> Display:
    display = Display.of(frame, pixel_aspect)
    _check_size(display.width, display.height, limits)
    return display


def _check_size(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.clip_pixels:
        most = f"{limits.clip_pixels / 1e6:g} megapixels"
        raise _refused(f"has pictures of {width} x {height} pixels, more than {most}; save it smaller.")
    if min(width, height) < SMALLEST_SIDE:
        raise _refused(f"has pictures of {width} x {height} pixels, too few; each side needs {SMALLEST_SIDE}.")


def _check_shape(frame: VideoFrame, first: tuple[int, int], at: Fraction) -> None:
    """Each is shown at the size of the first, so another size does no harm, and another shape is distorted."""
    width, height = first
    shape = frame.width * height / (frame.height * width)
    if not 1 - SAME_SHAPE <= shape <= 1 + SAME_SHAPE:
        sizes = f"from {width} x {height} to {frame.width} x {frame.height}"
        raise _refused(f"changes its shape at {float(at):.4g} s, {sizes}; send a part of one shape.")


def _not_decoded(path: Path) -> str:
    kind = kind_of(path)
    found = f"is {kind} that cannot be decoded; it may be damaged" if kind else "is no video that can be decoded"
    return f"{found}. Send {CLIP_FORMATS_TEXT}."


def _refused(message: str, code: str = INVALID_CLIP) -> InvalidInput:
    return InvalidInput("input_reference", message, code)
