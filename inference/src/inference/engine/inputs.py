"""The numbers of a request: refused before any work if no video can be made from them."""

from __future__ import annotations

import math

from inference.engine.video.buckets import SIZES
from inference.generation import MAX_SPEAKERS, ApiField, GenerationRequest, InvalidInput, Sampling


def check_request(request: GenerationRequest) -> None:
    """Refuse numbers that no video can be made from."""
    if not 1 <= len(request.speakers) <= MAX_SPEAKERS:
        raise InvalidInput("audio", f"one or two people can speak, not {len(request.speakers)}")
    if not request.prompt.strip():
        raise InvalidInput("prompt", "say what the video shows")
    if request.resolution not in SIZES:
        raise InvalidInput("size", f"{request.resolution!r} is not one of {', '.join(SIZES)}")
    if request.audio_mode not in ("add", "para"):
        raise InvalidInput("audio_mode", f"{request.audio_mode!r} is neither 'add' nor 'para'")
    if request.seconds is None and not any(speaker.audio for speaker in request.speakers):
        raise InvalidInput("seconds", "is required if nobody speaks")
    _check_positive("seconds", request.seconds)
    _check_sampling(request.sampling)


def _check_sampling(sampling: Sampling) -> None:
    if sampling.steps < 1:
        raise InvalidInput("steps", "at least one step is needed")
    _check_positive("shift", sampling.shift)
    numbers: tuple[tuple[ApiField, float], ...] = (
        ("text_guidance", sampling.text_guidance),
        ("audio_guidance", sampling.audio_guidance),
        ("teacache_threshold", sampling.teacache_threshold),
    )
    for field, value in numbers:
        if not math.isfinite(value):
            raise InvalidInput(field, "must be a finite number")


def _check_positive(field: ApiField, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InvalidInput(field, "must be greater than 0")
