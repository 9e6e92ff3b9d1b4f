"""Guidance by text and by audio: which passes a step needs, and how their velocities are joined.

With a text scale, three passes: everything, without the prompt, without prompt and voice. With text scale 1 the prompt
needs no emphasis and two are enough: everything, and without the voice. The differences are either scaled as they are,
or by adaptive projected guidance (APG): averaged over the steps with a momentum, limited in length, and freed of the
part that is parallel to the full prediction, which is what makes colours burn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor


class Pass(Enum):
    """One evaluation of the transformer within a step."""

    COND = "cond"
    DROP_TEXT = "drop_text"
    UNCOND = "uncond"
    DROP_AUDIO = "drop_audio"

    @property
    def has_prompt(self) -> bool:
        """Whether the prompt is used, not the negative prompt."""
        return self in (Pass.COND, Pass.DROP_AUDIO)

    @property
    def has_voice(self) -> bool:
        """Whether the voices are heard, not silence."""
        return self in (Pass.COND, Pass.DROP_TEXT)


THREE_PASSES = (Pass.COND, Pass.DROP_TEXT, Pass.UNCOND)
TWO_PASSES = (Pass.COND, Pass.DROP_AUDIO)


@dataclass(frozen=True, slots=True)
class GuidanceScales:
    """How far to go from the passes that lack something towards the one that has it."""

    text: float
    audio: float
    apg: bool = False
    apg_momentum: float = -0.75
    apg_norm_limit: float = 55.0

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes of one step, in the order of the batch; those that hear voices come first."""
        return TWO_PASSES if self.text == 1.0 else THREE_PASSES


class Guidance(Protocol):
    """Joins the velocities of a step's passes; one for every window, may remember earlier steps."""

    def join(self, velocities: Sequence[Tensor]) -> Tensor:
        """Join the velocities, given in the order of `GuidanceScales.passes`."""
        ...


def make_guidance(scales: GuidanceScales) -> Guidance:
    """Pick the way of joining that the scales ask for."""
    return ProjectedGuidance(scales) if scales.apg else PlainGuidance(scales)


def differences(scales: GuidanceScales, velocities: Sequence[Tensor]) -> list[tuple[float, Tensor]]:
    """Pair each scale with the difference that it multiplies: what the prompt adds, what the voice adds."""
    if scales.passes == TWO_PASSES:
        cond, drop_audio = velocities
        return [(scales.audio, cond - drop_audio)]
    cond, drop_text, uncond = velocities
    return [(scales.text, cond - drop_text), (scales.audio, drop_text - uncond)]


class PlainGuidance:
    """Scale the differences and add them to the barest pass."""

    def __init__(self, scales: GuidanceScales) -> None:
        self._scales = scales

    def join(self, velocities: Sequence[Tensor]) -> Tensor:
        """Join one step's velocities."""
        joined = velocities[-1]
        for scale, difference in differences(self._scales, velocities):
            joined = joined + scale * difference
        return joined


class ProjectedGuidance:
    """Adaptive projected guidance with one running average per difference."""

    def __init__(self, scales: GuidanceScales) -> None:
        self._scales = scales
        self._averages: list[Tensor | None] = [None, None]

    def join(self, velocities: Sequence[Tensor]) -> Tensor:
        """Join one step's velocities."""
        cond = velocities[0]
        joined = cond
        for number, (scale, difference) in enumerate(differences(self._scales, velocities)):
            average = self._averages[number]
            if average is not None:
                difference = difference + self._scales.apg_momentum * average
            self._averages[number] = difference
            joined = joined + (scale - 1) * self._sideways(difference, cond)
        return joined

    def _sideways(self, difference: Tensor, cond: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(difference)
        limited = difference * (self._scales.apg_norm_limit / length).clamp(max=1.0)
        direction = cond.double() / torch.linalg.vector_norm(cond.double()).clamp(min=1e-12)
        wide = limited.double()
        sideways: Tensor = wide - (wide * direction).sum() * direction
        return sideways.to(difference.dtype)
