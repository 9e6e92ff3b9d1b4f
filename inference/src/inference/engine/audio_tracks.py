"""What the network hears: voices at -23 LUFS on one time line, each as long as the video.

Waves are float32 mono at `SAMPLE_RATE`. The sound of the video is another matter: see `media.soundtrack`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyloudnorm  # type: ignore[import-untyped]

from inference.multitalk import SAMPLE_RATE

Wave = npt.NDArray[np.float32]

TARGET_LUFS = -23.0
LOUDEST_CREDIBLE = 100.0
"""Beyond this the measurement means silence (minus infinity), which is left as it is."""
METER_BLOCK_S = 0.4
BACKGROUND_LU = 25.0
"""A track that is quieter than the other by more is a microphone that hears the room, or the other person."""


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


def level(waves: Sequence[Wave | None]) -> list[Wave | None]:
    """Bring the voices of one conversation to the target loudness by one gain, that of the loudest of them.

    The encoder that comes after this brings every track to the same size, the noise of a silent person's microphone
    too, and the mouth would follow it: what is far below the loudest voice is silence.
    """
    measured = [-np.inf if wave is None else measure_lufs(wave) for wave in waves]
    loudest = max(measured)
    if len(waves) == 1 or not abs(loudest) <= LOUDEST_CREDIBLE:
        return [None if wave is None else normalize_loudness(wave) for wave in waves]
    gain = np.float32(10 ** ((TARGET_LUFS - loudest) / 20))
    return [
        None if wave is None or _is_background(wave, found, loudest) else wave * gain
        for wave, found in zip(waves, measured, strict=True)
    ]


def _is_background(wave: Wave, loudness: float, loudest: float) -> bool:
    measurable = len(wave) >= int(METER_BLOCK_S * SAMPLE_RATE)
    return measurable and loudness < loudest - BACKGROUND_LU


def on_time_line(wave: Wave | None, start: int, samples: int) -> Wave:
    """A person's track: silence, the voice from sample `start` on, silence; what is beyond the end is cut."""
    track = np.zeros(samples, np.float32)
    if wave is not None:
        part = track[start : start + len(wave)]
        part += wave[: len(part)]
    return track
