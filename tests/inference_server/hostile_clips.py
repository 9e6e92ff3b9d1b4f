"""Clips made to harm a decoder, or that are none."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np

from inference_media.clips import Film, numbered, steady
from inference_server.hostile_media import blank, film, huge_png, saved, voice


def cut(content: bytes, share: float = 0.5) -> bytes:
    return content[: int(len(content) * share)]


def damaged(content: bytes) -> bytes:
    """Other bytes in the middle of the pictures."""
    middle = len(content) // 2
    return content[:middle] + bytes(range(256)) * 2 + content[middle + 512 :]


def changing(sizes: tuple[tuple[int, int], ...]) -> bytes:
    """MJPEG whose pictures have other sizes than the header says."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = cast(Any, container.add_stream("mjpeg", rate=25))
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuvj420p"
        for number, (width, height) in enumerate(sizes):
            packet = jpeg(numbered(number, width, height))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            packet.is_keyframe = True
            container.mux(packet)
    return buffer.getvalue()


def jpeg(picture: np.ndarray) -> Any:
    encoder = cast(Any, av.CodecContext.create("mjpeg", "w"))
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
    return encoder.encode(frame)[0]


def many_streams(count: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        streams = [cast(Any, container.add_stream("mpeg4", rate=25)) for _ in range(count)]
        for stream in streams:
            stream.width = stream.height = 64
        for stream in streams:
            frame = av.VideoFrame.from_ndarray(numbered(1, 64, 64), format="rgb24").reformat(format="yuv420p")
            frame.pts = 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return buffer.getvalue()


def sound_with_cover() -> bytes:
    """A song: its one picture is no video."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        cover = cast(Any, container.add_stream("mjpeg", rate=1))
        cover.width = cover.height = 64
        cover.pix_fmt, cover.disposition = "yuvj420p", av.stream.Disposition.attached_pic
        packet = jpeg(numbered(1, 64, 64))
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 1)
        container.mux(packet)
    return buffer.getvalue()


HOUR = Fraction(3600)
REFUSED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "an MP4 cut in the middle": (lambda: cut(Film(times=steady(25, 50)).content()), "invalid_video", "may be damaged"),
    "no more than a head": (lambda: Film().content()[:40], "invalid_video", "may be damaged"),
    "pictures of 8K": (lambda: film("matroska", "libx264", "yuv420p", side=4_096), "invalid_video", "more than 9.4"),
    "pictures of nothing": (lambda: Film(width=16, height=16).content(), "invalid_video", "each side needs 32"),
    "a PNG of 8,000 x 8,000 in MOV": (lambda: film("mov", "png", payload=huge_png()), "invalid_video", "format png"),
    "pixels that are twelve times as wide as high": (
        lambda: Film(width=1_024, height=1_024, pixel_aspect=Fraction(12)).content(), "invalid_video", "12288 x 1024",
    ),
    "an hour between two pictures": (lambda: Film(times=(Fraction(0), HOUR)).content(), "too_long", "longer than 40 s"),
    "41 s": (lambda: Film(times=steady(1, 42), rate=Fraction(1)).content(), "too_long", "longer than 40 s"),
    "a hundred streams": (lambda: many_streams(100), "invalid_video", "64 streams or more"),
    "a picture that is none": (
        lambda: film("matroska", "libx264", "yuv420p", payload=bytes(50)), "invalid_video", "",
    ),
    "sound alone": (lambda: voice("mp4", "aac"), "invalid_video", "no video"),
    "sound with a cover": (sound_with_cover, "invalid_video", "no video"),
    "upright from the third picture on": (
        lambda: changing(((128, 64), (128, 64), (64, 128))), "invalid_video", "changes its shape at 0.08 s",
    ),
    "vast from the second picture on": (lambda: changing(((128, 64), (8_192, 4_096))), "invalid_video", ""),
    "a codec that is not on the list": (
        lambda: Film("matroska", "ffv1").content(), "invalid_video", "format ffv1",
    ),
    "an FLV video": (lambda: Film("flv").content(), "invalid_video", "is an FLV video"),
    "an MPEG-TS stream": (lambda: Film("mpegts").content(), "invalid_video", "is an MPEG-TS stream"),
    "a playlist": (lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "invalid_image", "a playlist"),
    "an animated picture": (
        lambda: saved(blank(), "GIF", save_all=True, append_images=[blank(32)]), "invalid_image", "a GIF picture",
    ),
}  # fmt: skip
