"""Decoding of voices: a sound file, or the sound of a video file, to a mono wave at `SAMPLE_RATE`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from inference.generation import InvalidInput
from inference.media.limits import (
    INVALID,
    MOST_STREAMS,
    SOUND_CODECS,
    SOUND_CONTAINERS,
    SOUND_FORMATS,
    SOUND_RATES,
    TOO_LONG,
    MediaLimits,
)
from inference.multitalk import SAMPLE_RATE

Wave = npt.NDArray[np.float32]

OPEN_OPTIONS = {
    "format_whitelist": ",".join(SOUND_CONTAINERS),
    "codec_whitelist": ",".join(SOUND_CODECS),
    "protocol_whitelist": "file",
    "max_streams": str(MOST_STREAMS),
}


def decode_audio(path: Path, limits: MediaLimits) -> Wave:
    """Decode the first audio stream."""
    return np.concatenate(list(_waves(path, limits)))


def audio_seconds(path: Path, limits: MediaLimits) -> float:
    """Decode the first audio stream in the same way, but only count: constant memory."""
    return sum(len(wave) for wave in _waves(path, limits)) / SAMPLE_RATE


def _waves(path: Path, limits: MediaLimits) -> Iterator[Wave]:
    """The sound in pieces of at least one sample; at least one of them."""
    silent = True
    try:
        with av.open(str(path), options=OPEN_OPTIONS, metadata_errors="ignore") as container:
            for wave in _resampled(_frames(container, limits)):
                if not np.isfinite(wave).all():
                    raise _refused("holds values that are not numbers.")
                silent = False
                yield wave
    except InvalidInput:
        raise
    except (av.FFmpegError, OSError, ValueError) as e:
        raise _refused(f"is not audio that can be decoded; send {SOUND_FORMATS}.") from e
    if silent:
        raise _refused("holds no sound.")


def _frames(container: InputContainer, limits: MediaLimits) -> Iterator[AudioFrame | None]:
    """Each is bounded before the resampler sees it: a sample at 4 kHz becomes four."""
    if not container.streams.audio:
        raise _refused("holds no sound.")
    if len(container.streams) >= MOST_STREAMS:
        raise _refused(f"has {MOST_STREAMS} streams or more; send its sound alone.")
    codec = container.streams.audio[0].codec_context.name
    if codec not in SOUND_CODECS:  # FFmpeg's list applies only to what it opens while it examines the file
        raise _refused(f"holds sound in the format {codec}, which is not decoded here.")
    slowest, fastest = SOUND_RATES
    seconds = 0.0
    for frame in container.decode(audio=0):
        if not slowest <= frame.sample_rate <= fastest:
            raise _refused(f"has a sample rate of {frame.sample_rate} Hz, not {slowest} to {fastest}.")
        seconds += frame.samples / frame.sample_rate
        if not limits.allow(seconds):
            raise _refused(f"is longer than {limits.seconds:g} s; shorten it.", TOO_LONG)
        yield frame
    yield None  # flushes the resampler


def _resampled(frames: Iterator[AudioFrame | None]) -> Iterator[Wave]:
    resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    for frame in frames:
        for out in resampler.resample(frame):
            if out.samples:
                yield out.to_ndarray().reshape(-1).astype(np.float32)


def _refused(message: str, code: str = INVALID["audio"]) -> InvalidInput:
    return InvalidInput("audio", message, code)
