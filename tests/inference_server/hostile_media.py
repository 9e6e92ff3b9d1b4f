"""Pictures and voices made to harm a decoder: small files, large claims."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from typing import cast

import av
import numpy as np
from PIL import Image


def huge_png(side: int = 8_000, *, before: bytes = b"") -> bytes:
    """Every pixel is there, in a few hundred kilobytes of zeros; `before` are chunks ahead of the pixels."""
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 + 3 * side)) for _ in range(side)) + packed.flush()
    return b"\x89PNG\r\n\x1a\n" + png_head(side) + before + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def png_head(side: int) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claims(content: bytes, at: int, form: str, *numbers: int) -> bytes:
    """The same file with other numbers at a place."""
    packed = struct.pack(form, *numbers)
    return content[:at] + packed + content[at + len(packed) :]


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def blank(side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side))


def animated(form: str, side: int = 64) -> bytes:
    return saved(blank(side), form, save_all=True, append_images=[Image.new("RGB", (side, side), "red")])


def huge_pictures() -> dict[str, bytes]:
    jpeg, bmp, tiff, avif = (saved(blank(), form) for form in ("JPEG", "BMP", "TIFF", "AVIF"))
    webp = animated("WEBP")
    return {
        "PNG": huge_png(8_000),
        "PNG of two billion rows": huge_png(64).replace(png_head(64), png_head(2**31 - 1)),
        "APNG": animated("PNG", 8_000),
        "JPEG": claims(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", 65_500, 65_500),
        "BMP": claims(bmp, 18, "<ii", 2**30, 2**30),
        "TIFF": claims(tiff, tiff.index(struct.pack("<HHI", 256, 4, 1)) + 8, "<I", 2**31 - 1),
        "AVIF": claims(avif, avif.index(b"ispe") + 8, ">II", 16_000, 16_000),
        "animated WEBP": claims(webp, webp.index(b"VP8X") + 12, "<HBHB", 16_382, 0, 16_382, 0),
    }


def other_formats() -> dict[str, bytes]:
    """Decoders that an upload does not reach, and files that are no pictures."""
    forms = ("GIF", "ICO", "JPEG2000", "PPM", "TGA", "PCX", "DDS", "EPS", "PDF", "ICNS", "SGI", "QOI")
    made = {form: saved(blank(), form) for form in forms if form in _saveable()}
    made["SVG"] = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    made["ZIP"] = b"PK\x03\x04" + bytes(200)
    made["gzip"] = zlib.compress(bytes(10_000_000), wbits=31)
    return made


def _saveable() -> set[str]:
    Image.init()
    return set(Image.SAVE)


def sound(rate: int = 16_000) -> av.AudioFrame:
    """A second."""
    frame = av.AudioFrame.from_ndarray(np.zeros((1, rate), np.int16), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def film(form: str, codec: str, pixels: str = "rgb24", *, payload: bytes | None = None, side: int = 64) -> bytes:
    """A second of sound, and one picture beside it whose packet may hold something else."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        video = cast(av.VideoStream, container.add_stream(codec, rate=1))
        video.width, video.height, video.pix_fmt = side, side, pixels
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), format="rgb24").reformat(format=pixels)
        frame.pts = 0
        packet = (video.encode(frame) + video.encode(None))[0]
        if payload is not None:
            other = av.Packet(payload)
            other.stream, other.pts, other.dts, other.time_base = video, 0, 0, packet.time_base
            other.is_keyframe = True
            packet = other
        container.mux(packet)
        container.mux(track.encode(sound()))
    return buffer.getvalue()


def voice(form: str, codec: str, *, tracks: int = 1, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        streams = [container.add_stream(codec, rate=rate, layout="mono") for _ in range(tracks)]
        made = cast("list[av.AudioStream]", streams)
        resampler = av.AudioResampler(made[0].codec_context.format.name, "mono", rate, made[0].frame_size or None)
        for frame in [*resampler.resample(sound(rate)), *resampler.resample(None)]:
            for track in made:
                container.mux(track.encode(frame))
        for track in made:
            container.mux(track.encode(None))
    return buffer.getvalue()


def wav_head(rate: int, channels: int, data: bytes, *, bits: int = 16, form: int = 1) -> bytes:
    """A WAV file whose header claims what it is told to."""
    block = channels * bits // 8 % 65_536
    head = struct.pack("<HHIIHH", form, channels, rate, rate * block % 2**32, block, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + (b"data" + struct.pack("<I", len(data)) + data)
    )


PICTURES_IN_VOICES: dict[str, Callable[[], bytes]] = {
    "PNG in MOV": lambda: film("mov", "png", payload=huge_png()),
    "PNG in AVI": lambda: film("avi", "png", payload=huge_png()),
    "H.264 in Matroska": lambda: film("matroska", "libx264", "yuv420p", side=4_000),
}
"""Sound that is fine, with a picture track that is not."""


def bad_voices() -> dict[str, bytes]:
    return {
        "a rate of two billion": wav_head(2**31 - 1, 1, bytes(4_000)),
        "a rate that makes a long filter": wav_head(15_485_863, 1, bytes(400_000)),
        "a rate of zero": wav_head(0, 1, bytes(4_000)),
        "one sample a second": wav_head(1, 1, bytes(2 * 500)),
        "five million seconds": wav_head(1, 1, bytes(10_000_000)),
        "longer than a voice may be": wav_head(4_000, 1, bytes(2 * 4_000 * 601)),
        "65,535 channels": wav_head(16_000, 65_535, bytes(131_070)),
        "no channel": wav_head(16_000, 0, bytes(4_000)),
        "numbers that are none": wav_head(16_000, 1, b"\xff" * 4_000, bits=32, form=3),
        "a codec of a telephone": wav_head(8_000, 1, bytes(4_000), form=0x22),
        "a codec that is not on the list": voice("matroska", "wavpack"),
        "a hundred tracks": voice("matroska", "flac", tracks=100),
        "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "a list of files": b"ffconcat version 1.0\nfile part-0\n",
        "a picture": saved(blank(), "PNG"),
        "an archive": b"PK\x03\x04" + bytes(200),
    }
