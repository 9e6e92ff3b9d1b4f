"""TeaCache: leave out the blocks of steps whose result would hardly differ.

How much a step differs is estimated from the time's modulation alone, so the whole plan is known before the first step
and is the same for every pass. Skipped steps add the residual that the blocks made at the last computed step; the
residuals belong to one window of one generation, so two generations cannot mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

ALWAYS_COMPUTED = 5
"""Opening steps that decide the composition and are never skipped."""

# Polynomials from the relative change of the modulation to that of the output, highest power first; published for the
# 480p and 720p models.
COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "multitalk-480": (2.57151496e5, -3.54229917e4, 1.40286849e3, -1.35890334e1, 1.32517977e-1),
    "multitalk-720": (8.10705460e3, 2.13393892e3, -3.72934672e2, 1.66203073e1, -4.17769401e-2),
}


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """What is known of a step before it runs."""

    compute: bool
    change: float
    """Relative change of the modulation since the step before; 0 for the first."""
    accumulated: float
    """Estimated change of the output since the last computed step; 0 after a computed one."""


def plan_steps(
    modulation: Tensor, resolution: Literal["multitalk-480", "multitalk-720"] | str, threshold: float
) -> tuple[StepEstimate, ...]:
    """Decide for every row of `modulation` `[steps, ...]` whether the blocks run; one transfer from the device."""
    change = _relative_changes(modulation)
    polynomial = np.poly1d(COEFFICIENTS[resolution])
    accumulated = 0.0
    plan = []
    for step, relative in enumerate(change):
        if step < ALWAYS_COMPUTED:
            compute, accumulated = True, 0.0
        else:
            accumulated += float(polynomial(relative))
            compute = accumulated >= threshold
            accumulated = 0.0 if compute else accumulated
        plan.append(StepEstimate(compute, relative, accumulated))
    return tuple(plan)


def _relative_changes(modulation: Tensor) -> Sequence[float]:
    rows = modulation.float().flatten(1)
    changes = (rows[1:] - rows[:-1]).abs().mean(1) / rows[:-1].abs().mean(1)
    return [0.0, *changes.tolist()]


class ResidualCache:
    """The blocks' last residual per group of passes, for one window."""

    def __init__(self) -> None:
        self._residuals: dict[int, Tensor] = {}

    def store(self, group: int, before: Tensor, after: Tensor) -> None:
        """Remember what the blocks added."""
        self._residuals[group] = after - before

    def apply(self, group: int, before: Tensor) -> Tensor:
        """Add what the blocks added last."""
        return before + self._residuals[group]
