"""The loop over steps: predict, guide, move, put known frames back.

Plain Euler on the velocity. Latents of frames that are already known are overwritten before the first step and after
each one, as they are or noised to the time in question; their noise is fresh each time. All noise of a window is drawn
and moved before its first step, so that nothing in the loop waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from inference.engine.sampling.guidance import GuidanceScales, make_guidance
from inference.engine.sampling.noise import NoiseSource
from inference.engine.sampling.schedule import FULL_NOISE, noised


class Predictor(Protocol):
    """Predicts the velocities of all passes of a step."""

    def velocities(self, latent: Tensor, step: int) -> Sequence[Tensor]:
        """Return one velocity per pass, each shaped like `latent`, float32."""
        ...


class Observer(Protocol):
    """Sees every latent and prediction of a window; for tests and debugging, holds up the device."""

    def latent(self, step: int, latent: Tensor) -> None:
        """See what the model sees at `step`; the last call has the finished latent."""
        ...

    def predicted(self, step: int, velocities: Sequence[Tensor]) -> None:
        """See the predictions of a step."""
        ...


@torch.inference_mode()
def sample(
    shape: Sequence[int],
    times: Tensor,
    predictor: Predictor,
    scales: GuidanceScales,
    noise: NoiseSource,
    *,
    known: Tensor | None,
    noise_known: bool = True,
    device: torch.device,
    before_step: Callable[[int], None] = lambda _: None,
    observer: Observer | None = None,
) -> Tensor:
    """Make one window's latent `shape` (channels, frames, rows, columns).

    `known` holds its first frames, if they are known; `noise_known` says whether they are noised to each step's time.
    """
    moments = times.tolist()
    guidance = make_guidance(scales)
    latent = noise.normal(shape).to(device)
    held = _held_frames(known, moments, noise) if noise_known or known is None else [known] * len(moments)
    latent = _hold(latent, held, 0)
    for step, (now, then) in enumerate(pairwise(moments)):
        before_step(step)
        velocities = predictor.velocities(latent, step)
        if observer:
            observer.latent(step, latent)
            observer.predicted(step, velocities)
        latent = latent - guidance.join(velocities) * ((now - then) / FULL_NOISE)
        latent = _hold(latent, held, step + 1)
    if observer:
        observer.latent(len(moments) - 1, latent)
    return latent


def _held_frames(known: Tensor | None, moments: Sequence[float], noise: NoiseSource) -> list[Tensor]:
    if known is None:
        return []
    draws = torch.stack([noise.normal(known.shape) for _ in moments]).to(known.device)
    return [noised(known, draw, moment) for draw, moment in zip(draws, moments, strict=True)]


def _hold(latent: Tensor, held: Sequence[Tensor], step: int) -> Tensor:
    if not held:
        return latent
    return torch.cat((held[step], latent[:, held[step].shape[1] :]), dim=1)
