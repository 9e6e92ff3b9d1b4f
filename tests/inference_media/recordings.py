"""Recordings with beeps at known times, in any container and codec, with pauses and starts in their timestamps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from inference.media.audio_file import decode_audio
from inference.media.limits import DEFAULT_LIMITS

BEEP_S = 0.06


def sound_of(seconds: float, beeps: Sequence[float], rate: int) -> np.ndarray:
    """Silence with beeps at 1 kHz."""
    wave = np.zeros(round(seconds * rate), np.float32)
    for at in beeps:
        piece = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(BEEP_S * rate)) / rate)
        part = wave[round(at * rate) :][: len(piece)]
        part += piece[: len(part)]
    return wave


@dataclass(frozen=True, slots=True)
class Recording:
    """How to write a file; `talk` are (begin, length) of what the recorder wrote, all else is a pause."""

    form: str
    codec: str
    rate: int = 48_000
    layout: str = "mono"
    options: dict[str, str] = field(default_factory=dict)
    talk: Sequence[tuple[float, float]] = ((0.0, 0.8),)
    beeps: Sequence[float] = (0.2, 0.6)
    picture_from: float | None = None
    """A video beside the sound, which begins at this time."""

    def content(self) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=self.form, options=self.options) as container:
            stream = cast(Any, container.add_stream(self.codec, rate=self.rate, layout=self.layout))
            if self.picture_from is not None:
                self._add_picture(container, self.picture_from)
            for frame in self._frames(stream):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return buffer.getvalue()

    def _frames(self, stream: Any) -> list[av.AudioFrame]:
        """In pieces of the codec's size; the timestamps jump over the pauses."""
        end = max(begin + length for begin, length in self.talk)
        wave = sound_of(end, self.beeps, self.rate)
        size = stream.codec_context.frame_size or 1024
        made = []
        for begin, length in self.talk:
            stop = round((begin + length) * self.rate)
            for at in range(round(begin * self.rate), stop, size):
                made.append(self._frame(wave[at : min(at + size, stop)], at, stream))
        return made

    def _frame(self, wave: np.ndarray, at: int, stream: Any) -> av.AudioFrame:
        channels = av.AudioLayout(self.layout).nb_channels
        frame = av.AudioFrame.from_ndarray(np.repeat(wave[None], channels, 0), format="fltp", layout=self.layout)
        frame.sample_rate = self.rate
        form = stream.codec_context.format
        (made,) = av.AudioResampler(format=form, layout=self.layout, rate=self.rate).resample(frame)
        made.pts, made.time_base = at, Fraction(1, self.rate)
        return made

    @staticmethod
    def _add_picture(container: Any, begin: float) -> None:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.codec_context.time_base = Fraction(1, 25)
        for number in range(10):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = round(begin * 25) + number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def beeps_in(wave: np.ndarray, rate: int = 16_000) -> list[float]:
    """When beeps begin, in seconds."""
    loud = np.flatnonzero(np.abs(wave) > 0.12)
    gaps = np.flatnonzero(np.diff(loud) > rate * BEEP_S / 2)
    return [round(float(loud[at]) / rate, 3) for at in (0, *(gaps + 1))] if len(loud) else []


def heard(path: Path, content: bytes) -> tuple[float, list[float]]:
    """Seconds and beeps of a file, as the network hears it."""
    path.write_bytes(content)
    voice = decode_audio(path, DEFAULT_LIMITS)
    assert len(voice.wave) == round(voice.info.seconds * 16_000)
    return round(voice.info.seconds, 3), beeps_in(voice.wave)
