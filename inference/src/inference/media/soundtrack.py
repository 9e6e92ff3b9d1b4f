"""The sound of a video: the uploads as they were sent, mixed at the highest of their rates.

Nothing is done to their level, unless the sum would be cut off by the file's format: then all of it is scaled down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """`[channels, samples]` in -1..1."""

    wave: Wave
    rate: int

    @property
    def frame_samples(self) -> int:
        """Samples that belong to one frame of the video."""
        return self.rate // FPS


def mix(uploads: Sequence[Upload], frames: int, limits: MediaLimits) -> Soundtrack:
    """Decode the uploads again, into a track as long as `frames` of the video."""
    form = _form([upload.form for upload in uploads])
    track = np.zeros((form.channels, frames * form.rate // FPS), np.float32)
    for upload in uploads:
        at = round(upload.start_s * form.rate)
        for wave in Decoding(upload.path, limits).waves(lambda _: form):
            part = track[:, at : at + wave.shape[1]]
            part += wave[:, : part.shape[1]]
            at += wave.shape[1]
            if at >= track.shape[1]:
                break
    loudest = float(np.abs(track).max(initial=0.0))
    if not np.isfinite(loudest):
        raise InvalidInput("audio", "holds values too large to be mixed.", INVALID["audio"])
    if loudest > 1:
        track /= loudest
    return Soundtrack(track, form.rate)


def _form(forms: Sequence[SoundForm]) -> SoundForm:
    """Silence is as the network hears it."""
    if not forms:
        return HEARD
    fastest = max(form.rate for form in forms)
    rate = next((rate for rate in RATES if rate >= fastest), RATES[-1])
    return SoundForm(rate, max(form.channels for form in forms))
