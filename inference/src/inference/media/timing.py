"""When each voice of a video begins, and how long the video is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inference.generation import AudioMode, InvalidInput, VoiceInfo
from inference.media.limits import TOO_LONG, MediaLimits
from inference.multitalk import FPS


@dataclass(frozen=True, slots=True)
class Timing:
    """The start of each person's voice in seconds, 0 for a person who is silent, and the video's length in frames."""

    starts: tuple[float, ...]
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / FPS


def time_voices(
    voices: Sequence[VoiceInfo | None], mode: AudioMode, maximum: float | None, limits: MediaLimits
) -> Timing:
    """Voices together keep the distance of their clocks, those in turn follow each other; `maximum` cuts the video.

    The frames cover the voices. Raises `InvalidInput` if that is longer than the limit.
    """
    spoken = [voice for voice in voices if voice is not None]
    starts = _in_turn(voices) if mode == "add" else _on_one_clock(voices)
    for voice, start in zip(voices, starts, strict=True):
        if voice is not None and not limits.allow(start):
            text = f"begins {start:.4g} s after the other by the timestamps of the files; cut it, or send it as WAV."
            raise InvalidInput("audio", text, TOO_LONG)
    ends = [start + voice.seconds for voice, start in zip(voices, starts, strict=True) if voice is not None]
    length = limits.video_seconds(max(ends, default=0.0), maximum)
    if maximum is not None and (not spoken or length < max(ends)):
        return Timing(starts, max(1, round(length * FPS)))
    return Timing(starts, max(1, math.ceil(round(length * FPS, 6))))


def _in_turn(voices: Sequence[VoiceInfo | None]) -> tuple[float, ...]:
    starts, end = [], 0.0
    for voice in voices:
        starts.append(end)
        end += voice.seconds if voice is not None else 0.0
    return tuple(starts)


def _on_one_clock(voices: Sequence[VoiceInfo | None]) -> tuple[float, ...]:
    first = min((voice.start for voice in voices if voice is not None), default=0.0)
    return tuple(0.0 if voice is None else voice.start - first for voice in voices)
