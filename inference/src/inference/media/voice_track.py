"""One voice as samples of one rate: resampled run by run, with silence where nothing was recorded.

A run is a sequence of frames without a pause between them and of one format. Each has a resampler of its own, so that
the place of a run follows from its time alone, and no rounding adds up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

Wave = npt.NDArray[np.float32]

_SAME_TIME_S = 1e-6


@dataclass(frozen=True, slots=True)
class SoundForm:
    """Samples a second, and one or two channels."""

    rate: int
    channels: int


class VoiceTrack:
    """Takes frames with the times at which they begin, and gives waves `[channels, samples]` without a gap."""

    def __init__(self, form: SoundForm) -> None:
        self._form = form
        self._run: AudioResampler | None = None
        self._kind: tuple[object, ...] = ()
        self._next_s = 0.0
        self._written = 0
        self._surplus = 0
        """Samples to drop: the run begins before the end of what is there."""

    def add(self, frame: AudioFrame, at_s: float) -> Iterator[Wave]:
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        if self._run is None or kind != self._kind or abs(at_s - self._next_s) > _SAME_TIME_S:
            yield from self.finish()
            yield from self._begin(at_s)
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self._run, self._kind = AudioResampler(format="fltp", layout=layout, rate=self._form.rate), kind
        self._next_s = at_s + frame.samples / frame.sample_rate
        yield from self._resample(frame)

    def finish(self) -> Iterator[Wave]:
        """End the run: the resampler still holds a few samples."""
        if self._run is not None:
            yield from self._resample(None)
        self._run = None

    def _begin(self, at_s: float) -> Iterator[Wave]:
        missing = round(at_s * self._form.rate) - self._written
        self._surplus = max(0, -missing)
        while missing > 0:
            piece = np.zeros((self._form.channels, min(missing, self._form.rate)), np.float32)
            missing -= piece.shape[1]
            self._written += piece.shape[1]
            yield piece

    def _resample(self, frame: AudioFrame | None) -> Iterator[Wave]:
        assert self._run is not None
        for out in self._run.resample(frame):
            wave = self._in_form(out.to_ndarray().astype(np.float32, copy=False))
            dropped = min(self._surplus, wave.shape[1])
            self._surplus -= dropped
            if wave.shape[1] > dropped:
                self._written += wave.shape[1] - dropped
                yield wave[:, dropped:]

    def _in_form(self, wave: Wave) -> Wave:
        """Mono is the mean of both sides, as loud as they; one side alone sounds on both."""
        if self._form.channels == 1:
            return wave if len(wave) == 1 else (wave[:1] + wave[1:]) / np.float32(2)
        return wave if wave.shape[0] == 2 else wave.repeat(2, axis=0)
