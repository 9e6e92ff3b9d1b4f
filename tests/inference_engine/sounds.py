"""Sound files for tests, written through the same libraries that read them, by another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

MakeVoice = Callable[..., Path]

CODECS = {".wav": "pcm_s16le", ".flac": "flac", ".ogg": "libopus", ".mp3": "libmp3lame"}


def write_sound(path: Path, wave: np.ndarray, rate: int) -> Path:
    """Write `[samples]` or `[samples, 2]` in -1..1; the suffix decides on the format."""
    channels = np.atleast_2d(wave.T)
    samples = np.ascontiguousarray((channels.T * 32767).astype(np.int16).reshape(1, -1))
    layout = "stereo" if len(channels) == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(CODECS[path.suffix], rate=rate, layout=layout)
        if samples.size:
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate = rate
            resampler = av.AudioResampler(stream.format, layout, rate, frame_size=stream.frame_size or None)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path
