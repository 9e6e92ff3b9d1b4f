"""What the network hears: voices at -23 LUFS on one time line, each as long as the video.

Waves are float32 mono at `SAMPLE_RATE`. The sound of the video is another matter: see `media.soundtrack`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyloudnorm  # type: ignore[import-untyped]

from inference.multitalk import SAMPLE_RATE

Wave = npt.NDArray[np.float32]
Blocks = npt.NDArray[np.float64]

TARGET_LUFS = -23.0
LOUDEST_CREDIBLE = 100.0
"""Beyond this the measurement means silence (minus infinity), which is left as it is."""
METER_BLOCK_S, METER_STEP_S = 0.4, 0.1
METER_STRETCH_S, METER_LEAD_S = 60, 1
"""How much is measured at once, and with how much before it."""
METER_OFFSET, METER_SILENCE, METER_FAR_BELOW = 0.691, -70.0, 10.0
"""Of ITU-R BS.1770."""
BACKGROUND_LU = 25.0
"""A track that is quieter than the other by more is a microphone that hears the room, or the other person."""


def measure_lufs(wave: Wave, rate: int = SAMPLE_RATE) -> float:
    """Integrated loudness; minus infinity for silence or less than one block of the meter."""
    if len(wave) < int(METER_BLOCK_S * rate):
        return -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # silence divides by zero inside the meter
        if len(wave) <= METER_STRETCH_S * rate:
            return float(pyloudnorm.Meter(rate).integrated_loudness(wave))
        return _gated(_block_energies(wave, rate))


def _block_energies(wave: Wave, rate: int) -> Blocks:
    """Of each block of the meter, measured a stretch at a time: at once they take six times the memory of the wave.

    The meter's filter starts again in each stretch, so it hears the last second of the stretch before.
    """
    meter = pyloudnorm.Meter(rate)
    found = []
    for start_s in range(0, math.ceil(len(wave) / rate), METER_STRETCH_S):
        first_s = max(0, start_s - METER_LEAD_S)
        stretch = wave[first_s * rate : round((start_s + METER_STRETCH_S + METER_BLOCK_S - METER_STEP_S) * rate)]
        if len(stretch) >= int(METER_BLOCK_S * rate):
            meter.integrated_loudness(stretch)
            found.append(np.array(meter.blockwise_loudness)[round((start_s - first_s) / METER_STEP_S) :])
    return np.asarray(10 ** ((np.concatenate(found) + METER_OFFSET) / 10))


def _gated(energies: Blocks) -> float:
    """ITU-R BS.1770: the mean of the blocks that are not silent, and not far below the mean of those."""
    loudness = 10 * np.log10(energies) - METER_OFFSET
    heard = loudness >= METER_SILENCE
    relative = 10 * np.log10(energies[heard].mean()) - METER_OFFSET - METER_FAR_BELOW
    return float(10 * np.log10(np.nan_to_num(energies[heard & (loudness > relative)].mean())) - METER_OFFSET)


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
