"""From picture and voice features to frames: the windows of a video, one after the other.

Everything here is tensors; files are the business of `engine` and `media`. Frames come out window by window, so that a
long video is never in memory all at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from inference.engine.components import Components
from inference.engine.continuation import CONTINUATIONS, Opening
from inference.engine.geometry import Geometry
from inference.engine.known_frames import MASK_CHANNELS
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.recipe import Recipe
from inference.engine.sampling.noise import NoiseSource
from inference.engine.sampling.sampler import Observer, Predictor, sample
from inference.engine.sampling.schedule import timesteps
from inference.engine.sampling.teacache import plan_steps
from inference.engine.scene import Scene
from inference.engine.video.colour import match_colours
from inference.engine.video.regions import token_masks
from inference.engine.video.windows import Window, plan_windows
from inference.generation import Cancelled, Progress

Lend = Callable[[nn.Module], AbstractContextManager[None]]
"""Brings an encoder to the device for as long as it is used."""


class PipelineObserver(Protocol):
    """Sees the intermediate results of every window; for tests."""

    def window(self, number: int, opening: Opening, inputs: WindowInputs) -> Observer:
        """See what a window starts from, and return an observer of its steps."""
        ...

    def decoded(self, number: int, frames: Tensor) -> None:
        """See the frames of a window before colour correction."""
        ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """How the outside takes part in a generation."""

    on_progress: Callable[[Progress], None] = lambda _: None
    cancelled: Callable[[], bool] = lambda: False
    observer: PipelineObserver | None = None

    def report(self, progress: Progress) -> None:
        """Report progress, unless it has been cancelled."""
        if self.cancelled():
            raise Cancelled
        self.on_progress(progress)


class Pipeline:
    """The networks, put to work."""

    def __init__(
        self,
        parts: Components,
        geometry: Geometry,
        device: torch.device,
        *,
        batch_passes: Callable[[int, int], bool] = lambda _tokens, _passes: True,
        lend: Lend = lambda _: nullcontext(),
        predictor: Callable[..., Predictor] = WindowPredictor,
    ) -> None:
        self._parts = parts
        self._geometry = geometry
        self._device = device
        self._batch_passes = batch_passes
        self._lend = lend
        self._make_predictor = predictor

    def run(self, scene: Scene, recipe: Recipe, noise: NoiseSource, hooks: Hooks | None = None) -> Iterator[Tensor]:
        """Yield new frames `[3, n, H, W]` in -1..1 on the host, window by window."""
        hooks = hooks or Hooks()
        motion = self._geometry.motion_frames
        plan = plan_windows(scene.voices.frames, self._geometry.frame_num, motion, recipe.max_frames, recipe.drop_tail)
        hooks.report(Progress("encoding", 0, len(plan.windows), 0, recipe.sampling.steps))
        prompts = self._encode_prompts(recipe)
        goal = scene.source.frame(0).to(self._device)
        last: Tensor | None = None
        made = 0
        for window in plan.windows:

            def report(stage: str, step: int, number: int = window.number) -> None:
                hooks.report(Progress(stage, number, len(plan.windows), step, recipe.sampling.steps))

            opening = self._open(window, scene, last)
            inputs = self._window_inputs(window, scene, opening)
            observer = hooks.observer.window(window.number, opening, inputs) if hooks.observer else None
            latent = self._sample(inputs, opening, recipe, prompts, noise, partial(report, "sampling"), observer)
            report("decoding", recipe.sampling.steps)
            frames = self._decode(latent, goal, recipe, window.number, hooks)
            fresh = frames[:, motion if window.number else 0 :][:, : plan.output_frames - made]
            last = frames[:, -motion:]
            made += fresh.shape[1]
            yield fresh.cpu()

    @torch.inference_mode()
    def _sample(
        self,
        inputs: WindowInputs,
        opening: Opening,
        recipe: Recipe,
        prompts: Prompts,
        noise: NoiseSource,
        before_step: Callable[[int], None],
        observer: Observer | None,
    ) -> Tensor:
        """Make one window's latent."""
        times = timesteps(recipe.sampling.steps, recipe.shift)
        predictor = self._predictor(inputs, recipe, prompts, times)
        return sample(
            inputs.condition[MASK_CHANNELS:].shape,
            times,
            predictor,
            recipe.scales,
            noise,
            known=opening.known,
            noise_known=opening.noised,
            device=self._device,
            before_step=before_step,
            observer=observer,
        )

    def _predictor(self, inputs: WindowInputs, recipe: Recipe, prompts: Prompts, times: Tensor) -> Predictor:
        dit, passes = self._parts.dit, recipe.scales.passes
        time = dit.time_conditioning(times[:-1].to(self._device))
        threshold = recipe.sampling.teacache_threshold
        plan = plan_steps(time.blocks, recipe.resolution, threshold) if threshold > 0 else None
        batched = self._batch_passes(math.prod(dit.grid(inputs.condition.shape)), len(passes))
        return self._make_predictor(dit, inputs, prompts, passes, time, plan, batch_passes=batched)

    @torch.inference_mode()
    def _decode(self, latent: Tensor, goal: Tensor, recipe: Recipe, number: int, hooks: Hooks) -> Tensor:
        frames = self._parts.vae.decode(latent)
        if hooks.observer:
            hooks.observer.decoded(number, frames)
        return match_colours(frames, goal, recipe.colour_strength)

    @torch.inference_mode()
    def _open(self, window: Window, scene: Scene, last: Tensor | None) -> Opening:
        source = scene.source.frame(window.start).to(self._device)
        return CONTINUATIONS[self._geometry.variant](self._parts.vae, self._geometry.frame_num, source, last)

    @torch.inference_mode()
    def _window_inputs(self, window: Window, scene: Scene, opening: Opening) -> WindowInputs:
        with self._lend(self._parts.clip.model):
            image_features = self._parts.clip.encode(opening.shown[:, -1][None])
        grid = self._parts.dit.grid(opening.condition.shape)
        return WindowInputs(
            condition=opening.condition,
            image_features=image_features,
            voice_features=scene.voices.heard(window).to(self._device),
            masks=token_masks(scene.masks, grid[1:]).to(self._device),
        )

    def _encode_prompts(self, recipe: Recipe) -> Prompts:
        needs_negative = any(not one.has_prompt for one in recipe.scales.passes)
        texts = [recipe.prompt, recipe.negative_prompt] if needs_negative else [recipe.prompt]
        with self._lend(self._parts.text.model):
            contexts = self._parts.text.encode(texts)
        return Prompts(contexts[0], contexts[1] if needs_negative else None)
