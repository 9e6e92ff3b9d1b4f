"""Voices on one time line: loudness, who speaks when, and the mixed track.

Each voice is brought to -23 LUFS on its own. With `para` they sound at the same time, with `add` the second begins
when the first has ended; in both cases every person's track has the full length, silent where others speak.
Waves are float32 mono at `SAMPLE_RATE`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyloudnorm  # type: ignore[import-untyped]

from inference.generation import AudioMode
from inference.multitalk import SAMPLE_RATE, SAMPLES_PER_FRAME

Wave = npt.NDArray[np.float32]

TARGET_LUFS = -23.0
LOUDEST_CREDIBLE = 100.0
"""Beyond this the measurement means silence (minus infinity), which is left as it is."""
METER_BLOCK_S = 0.4


@dataclass(frozen=True, slots=True)
class AudioTracks:
    """One track per person, all of the same length, and their sum."""

    people: tuple[Wave, ...]
    mix: Wave

    @property
    def frames(self) -> int:
        """Video frames that the tracks cover."""
        return len(self.mix) // SAMPLES_PER_FRAME


def measure_lufs(wave: Wave, rate: int = SAMPLE_RATE) -> float:
    """Integrated loudness; minus infinity for silence or less than one block of the meter."""
    if len(wave) < int(METER_BLOCK_S * rate):
        return -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # silence divides by zero inside the meter
        return float(pyloudnorm.Meter(rate).integrated_loudness(wave))


def normalize_loudness(wave: Wave, rate: int = SAMPLE_RATE) -> Wave:
    """Scale a wave to the target loudness; silence stays silence."""
    loudness = measure_lufs(wave, rate)
    if not abs(loudness) <= LOUDEST_CREDIBLE:
        return wave
    return (wave * 10 ** ((TARGET_LUFS - loudness) / 20)).astype(np.float32)


def arrange(waves: Sequence[Wave | None], mode: AudioMode, silent_seconds: float = 0.0) -> AudioTracks:
    """Put one or two voices on the time line; None is a person who is silent, for `silent_seconds` if all are."""
    spoken = [len(wave) for wave in waves if wave is not None]
    silence = np.zeros(max(spoken, default=round(silent_seconds * SAMPLE_RATE)), np.float32)
    voices = [silence if wave is None else wave for wave in waves]
    if len(voices) == 1:
        return AudioTracks((voices[0],), voices[0])
    people: tuple[Wave, ...]
    if mode == "add":
        first, second = voices
        people = (np.pad(first, (0, len(second))), np.pad(second, (len(first), 0)))
    else:
        people = tuple(np.pad(voice, (0, len(silence) - len(voice))) for voice in voices)
    return AudioTracks(people, sum(people[1:], people[0]))


def fit_to_frames(tracks: AudioTracks, frames: int | None = None) -> AudioTracks:
    """Pad with silence, or cut, so that the tracks end exactly with a video frame."""
    count = frames if frames is not None else max(1, -(-len(tracks.mix) // SAMPLES_PER_FRAME))
    return AudioTracks(tuple(_fit(wave, count) for wave in tracks.people), _fit(tracks.mix, count))


def _fit(wave: Wave, frames: int) -> Wave:
    samples = frames * SAMPLES_PER_FRAME
    return np.pad(wave[:samples], (0, max(0, samples - len(wave)))).astype(np.float32)
