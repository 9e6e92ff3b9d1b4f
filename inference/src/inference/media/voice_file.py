"""Decoding of voices: any sound file, or the sound of a video file, to a mono wave at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from inference.generation import InvalidInput

SAMPLE_RATE = 16_000
LONGEST_S = 3600.0
"""Where decoding stops for good, so that a small file cannot fill the memory."""
CONTAINER_OPTIONS = {
    # Play lists and scripts name other files and addresses, which a demuxer would open; only real containers are read.
    "format_whitelist": "wav,w64,mp3,flac,ogg,aac,aiff,caf,amr,mov,mp4,m4a,matroska,webm,avi,asf",
    "protocol_whitelist": "file",
}


def decode_voice(path: Path, field: str) -> npt.NDArray[np.float32]:
    """Decode the first audio stream; `field` names the input in an error."""
    try:
        with av.open(str(path), options=CONTAINER_OPTIONS, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise InvalidInput(field, "the file has no audio stream")
            chunks = list(_resampled(container.decode(audio=0), field))
    except (av.FFmpegError, OSError, ValueError) as e:
        if isinstance(e, InvalidInput):
            raise
        raise InvalidInput(field, f"the audio cannot be decoded ({type(e).__name__})") from e
    wave = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
    if not len(wave):
        raise InvalidInput(field, "the audio is empty")
    if not np.isfinite(wave).all():
        raise InvalidInput(field, "the audio holds values that are not numbers")
    return wave


def _resampled(frames: Iterator[AudioFrame], field: str) -> Iterator[npt.NDArray[np.float32]]:
    resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    count = 0
    for frame in _with_end(frames):
        for out in resampler.resample(frame):
            samples = out.to_ndarray().reshape(-1).astype(np.float32)
            count += len(samples)
            if count > LONGEST_S * SAMPLE_RATE:
                raise InvalidInput(field, f"the audio is longer than {LONGEST_S:g} seconds")
            yield samples


def _with_end(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame | None]:
    yield from frames
    yield None  # asks the resampler for what it still holds
