"""What a picture or a voice may be: one list of formats for server and engine, and the limits that the server sets.

FFmpeg by itself follows playlists to other files and hosts, and opens a decoder for every stream of a file to learn
what it holds, pictures of any size included. Pillow starts programs for some formats. So both are told what they may
use, and everything else is out of the reach of an upload.
"""

from __future__ import annotations

from dataclasses import dataclass

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
SMALLEST_SIDE = 32
WIDEST_RATIO = 8.0

SOUND_CONTAINERS = ("wav", "w64", "mp3", "flac", "ogg", "aac", "aiff", "mov", "matroska", "webm", "avi")
SOUND_CODECS = (
    *("aac", "ac3", "eac3", "alac", "flac", "vorbis", "opus", "speex", "amrnb", "amrwb", "adpcm_ms", "adpcm_ima_wav"),
    *("mp3", "mp3float", "mp2", "mp2float", "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be"),
    *("pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"),
)
SOUND_RATES = (4_000, 768_000)
"""Hertz. The resampler's filter grows with the rate; a header can claim two billion."""
MOST_STREAMS = 64
"""Of one file, which has fewer: FFmpeg holds a decoder for each, and does not open more than these."""

_PROCESS_BYTES = 512 * 2**20
_BYTES_PER_PIXEL = 24
"""Decoding a picture takes up to 22 (WEBP: two canvases, the picture, its upright copy, and that as RGB)."""


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """The largest picture and the longest voice that are decoded."""

    pixels: int = 50_000_000
    voice_s: float = 600.0

    @property
    def memory_bytes(self) -> int:
        """Address space that suffices to decode what these limits allow."""
        return _PROCESS_BYTES + self.pixels * _BYTES_PER_PIXEL


DEFAULT_LIMITS = MediaLimits()
