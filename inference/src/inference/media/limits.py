"""What a picture, a voice and a video may be: formats, sizes and lengths, for server and engine alike.

The largest picture and the longest video are settings, handed in as `MediaLimits`; everything else is fixed here.

FFmpeg by itself follows playlists to other files and hosts, and opens a decoder for every stream of a file to learn
what it holds, pictures of any size included. Pillow starts programs for some formats. So both get a list of what they
may use, and an upload reaches nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.generation import FileField, InvalidInput

INVALID: dict[FileField, str] = {"input_reference": "invalid_image", "audio": "invalid_audio"}
INVALID_CLIP, TOO_LONG = "invalid_video", "too_long"
"""Codes of refusals; of an input_reference that is a clip the first."""

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF")
"""Pillow's names, which are those that people know."""
SMALLEST_SIDE = 32

CLIP_CONTAINERS = {
    "MP4": ("mov",),  # FFmpeg's name for all of the family
    "MOV": (),
    "WebM": ("webm",),
    "Matroska": ("matroska",),
    "AVI": ("avi",),
}
"""What people call a format, and FFmpeg's names of it."""
CLIP_CODECS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "av1", "mpeg4", "h263", "mjpeg", "prores")
MOST_CLIP_PIXELS = 4096 * 2304
"""Of a picture of a clip: 4K. A decoder holds up to 17 of them."""

SOUND_CONTAINERS = {
    "WAV": ("wav", "w64"),
    "MP3": ("mp3",),
    "M4A": (),  # FFmpeg's mov
    "AAC": ("aac",),
    "OGG": ("ogg",),
    "FLAC": ("flac",),
    "AIFF": ("aiff",),
    "CAF": ("caf",),
    "AMR": ("amr",),
    "the sound of a MOV, MP4, 3GP, Matroska, WebM or AVI": ("mov", "matroska", "webm", "avi"),
}
"""What people call a format, and FFmpeg's names of it."""
SOUND_CODECS = (
    *("aac", "ac3", "eac3", "alac", "flac", "vorbis", "opus", "speex", "amrnb", "amrwb"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt"),
    *("mp3", "mp3float", "mp2", "mp2float", "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be"),
    *("pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"),
)
SOUND_RATES = (4_000, 768_000)
"""Hertz. The resampler's filter grows with the rate; a header can claim two billion."""
MOST_STREAMS = 64
"""Of one file, which has fewer: FFmpeg holds a decoder for each, and does not open more than these."""

PICTURE_FORMATS_TEXT = ", ".join(PICTURE_FORMATS[:-1]) + " or " + PICTURE_FORMATS[-1]
CLIP_FORMATS_TEXT = ", ".join([*CLIP_CONTAINERS][:-1]) + " or " + [*CLIP_CONTAINERS][-1]
SOUND_FORMATS_TEXT = ", ".join(SOUND_CONTAINERS)

_PROCESS_BYTES = 512 * 2**20
_BYTES_PER_PIXEL = 24
"""Decoding a picture takes up to 22 (WEBP: two canvases, the picture, its upright copy, and that as RGB)."""
_BYTES_PER_CLIP_PIXEL = 120
"""Decoding a clip takes up to 116 (H.264 with 16 reference pictures of 4:4:4 and 10 bits)."""


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """The largest picture that is decoded, and the longest voice, clip and video."""

    pixels: int = 50_000_000
    seconds: float = 40.0

    @property
    def clip_pixels(self) -> int:
        """Of the largest picture of a clip."""
        return min(self.pixels, MOST_CLIP_PIXELS)

    @property
    def memory_bytes(self) -> int:
        """Address space that suffices to decode what these limits allow."""
        return _PROCESS_BYTES + max(self.pixels * _BYTES_PER_PIXEL, self.clip_pixels * _BYTES_PER_CLIP_PIXEL)

    def allow(self, seconds: float) -> bool:
        """Whether a voice or a video may last so long; to the millisecond, since resampling can move an end."""
        return round(seconds, 3) <= self.seconds

    def video_seconds(self, spoken: float, maximum: float | None) -> float:
        """Length of a video whose voices last `spoken` seconds, cut to `maximum`; raises `InvalidInput` if too long."""
        cut = maximum is not None and (maximum < spoken or not spoken)
        length = maximum if maximum is not None and cut else spoken
        if not self.allow(length):
            cure = "choose a smaller number" if cut else "shorten the voices or set seconds"
            text = f"{length:.4g} s is longer than the {self.seconds:g} s that this server makes; {cure}."
            raise InvalidInput("seconds" if cut else "audio", text, TOO_LONG)
        return length


DEFAULT_LIMITS = MediaLimits()
