"""The sound of a video: the uploads as they were sent, mixed at the highest of their rates.

Nothing is done to their level, unless the sum would be cut off by the file's format: then all of it is scaled down.
They are decoded once to find that out, and again while the video is written: memory does not grow with the length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from inference.generation import InvalidInput
from inference.media.audio_file import HEARD, Decoding
from inference.media.limits import INVALID, MediaLimits
from inference.media.voice_track import SoundForm, Wave
from inference.multitalk import FPS

RATES = (7_350, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Those of AAC that every player knows; each is a whole number of samples for a frame of the video."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A voice to be mixed: its file, the form that it has there, and when it begins in the video."""

    path: Path
    form: SoundForm
    start_s: float


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """The mix, decoded while the video is written."""

    form: SoundForm
    uploads: tuple[Upload, ...]
    limits: MediaLimits
    loudest: float = 1.0
    """The largest value, if it is above 1: all is divided by it."""

    def pieces(self) -> Iterator[Wave]:
        """The samples of each frame of the video, `[channels, rate / FPS]` in -1..1; silence without end after them."""
        parts = [_in_pieces(self._placed(upload), self.form) for upload in self.uploads]
        while True:
            piece = np.zeros((self.form.channels, self.form.rate // FPS), np.float32)
            for part in parts:
                piece += next(part, np.float32(0))
            yield piece / np.float32(self.loudest)

    def _placed(self, upload: Upload) -> Iterator[Wave]:
        missing = round(upload.start_s * self.form.rate)
        while missing > 0:
            silence = np.zeros((self.form.channels, min(missing, self.form.rate)), np.float32)
            missing -= silence.shape[1]
            yield silence
        yield from Decoding(upload.path, self.limits).waves(lambda _: self.form)


def mix(uploads: Sequence[Upload], frames: int, limits: MediaLimits) -> Soundtrack:
    """Decode the uploads once, as far as a video of `frames` goes, for their level."""
    track = Soundtrack(_form([upload.form for upload in uploads]), tuple(uploads), limits)
    loudest = np.float32(1)
    for piece in islice(track.pieces(), frames if uploads else 0):
        loudest = np.maximum(loudest, np.abs(piece).max())
    if not np.isfinite(loudest):
        raise InvalidInput("audio", "holds values too large to be mixed.", INVALID["audio"])
    return replace(track, loudest=float(loudest))


def _in_pieces(waves: Iterable[Wave], form: SoundForm) -> Iterator[Wave]:
    """Cut to the length of frames; the last is filled up with silence."""
    size = form.rate // FPS
    rest = np.zeros((form.channels, 0), np.float32)
    for wave in waves:
        rest = np.concatenate((rest, wave), axis=1)
        whole = rest.shape[1] // size * size
        for at in range(0, whole, size):
            yield rest[:, at : at + size]
        rest = rest[:, whole:]
    yield np.pad(rest, ((0, 0), (0, size - rest.shape[1])))


def _form(forms: Sequence[SoundForm]) -> SoundForm:
    """Silence is as the network hears it."""
    if not forms:
        return HEARD
    fastest = max(form.rate for form in forms)
    rate = next((rate for rate in RATES if rate >= fastest), RATES[-1])
    return SoundForm(rate, max(form.channels for form in forms))
