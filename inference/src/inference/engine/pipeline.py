"""From picture and voice features to frames: the windows of a video, one after the other.

Everything here is tensors; files are the business of `engine` and `media`. Frames come out window by window, so that a
long video never lies in memory whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from inference.engine.components import Components
from inference.engine.encoders.vae import SPACE_STRIDE, TIME_STRIDE
from inference.engine.geometry import Geometry
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.recipe import Recipe
from inference.engine.sampling.noise import NoiseSource
from inference.engine.sampling.sampler import Observer, sample
from inference.engine.sampling.schedule import timesteps
from inference.engine.sampling.teacache import plan_steps
from inference.engine.video.colour import match_colours
from inference.engine.video.regions import token_masks
from inference.engine.video.windows import Window, gather, plan_windows
from inference.generation import Cancelled, Progress

Lend = Callable[[nn.Module], AbstractContextManager[None]]
"""Brings an encoder to the device for as long as it is used."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The inputs of a video as tensors."""

    picture: Tensor
    """First frame at the output size, `[3, 1, H, W]` in -1..1."""
    voice_features: Tensor
    """`[people, video frames, layers, dim]`."""
    masks: Tensor
    """Person 1, person 2 and background, `[3, h, w]` on the latents' grid."""


class PipelineObserver(Protocol):
    """Sees the intermediate results of every window; for tests."""

    def window(self, number: int, known: Tensor, inputs: WindowInputs) -> Observer:
        """See what a window starts from, and give an observer of its steps."""
        ...

    def decoded(self, number: int, frames: Tensor) -> None:
        """See the frames of a window before colour correction."""
        ...


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
    ) -> None:
        self._parts = parts
        self._geometry = geometry
        self._device = device
        self._batch_passes = batch_passes
        self._lend = lend

    def run(
        self,
        scene: Scene,
        recipe: Recipe,
        noise: NoiseSource,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
        observer: PipelineObserver | None = None,
    ) -> Iterator[Tensor]:
        """Yield new frames `[3, n, H, W]` in -1..1 on the host, window by window."""
        plan = plan_windows(
            scene.voice_features.shape[1],
            self._geometry.frame_num,
            self._geometry.motion_frames,
            recipe.max_frames,
            recipe.drop_tail,
        )
        windows = len(plan.windows)
        on_progress(Progress("encoding", 0, windows, 0, recipe.steps))
        prompts = self._encode_prompts(recipe)
        known = scene.picture.to(self._device)
        made = 0
        for window in plan.windows:

            def before_step(step: int, number: int = window.number) -> None:
                if cancelled():
                    raise Cancelled
                on_progress(Progress("sampling", number, windows, step, recipe.steps))

            frames = self._window(window, scene, recipe, prompts, known, noise, before_step, observer)
            if cancelled():
                raise Cancelled
            on_progress(Progress("decoding", window.number, windows, recipe.steps, recipe.steps))
            fresh = frames if window.number == 0 else frames[:, self._geometry.motion_frames :]
            known = frames[:, -self._geometry.motion_frames :]
            kept = fresh[:, : plan.output_frames - made]
            made += kept.shape[1]
            yield kept.cpu()

    @torch.inference_mode()
    def _window(
        self,
        window: Window,
        scene: Scene,
        recipe: Recipe,
        prompts: Prompts,
        known: Tensor,
        noise: NoiseSource,
        before_step: Callable[[int], None],
        observer: PipelineObserver | None,
    ) -> Tensor:
        inputs = self._window_inputs(window, scene, known)
        times = timesteps(recipe.steps, recipe.shift)
        time = self._parts.dit.time_conditioning(times[:-1].to(self._device))
        threshold = recipe.teacache_threshold
        plan = plan_steps(time.blocks, recipe.resolution, threshold) if threshold > 0 else None
        latents = inputs.condition[4:]
        passes = recipe.scales.passes
        batched = self._batch_passes(math.prod(self._parts.dit.grid(latents.shape)), len(passes))
        predictor = WindowPredictor(self._parts.dit, inputs, prompts, passes, time, plan, batch_passes=batched)
        latent = sample(
            latents.shape,
            times,
            predictor,
            recipe.scales,
            noise,
            known=latents[:, : latent_frames(known.shape[1])] if window.number else None,
            device=self._device,
            before_step=before_step,
            observer=observer.window(window.number, known, inputs) if observer else None,
        )
        frames = self._parts.vae.decode(latent)
        if observer:
            observer.decoded(window.number, frames)
        return match_colours(frames, scene.picture.to(frames.device), recipe.colour_strength)

    def _window_inputs(self, window: Window, scene: Scene, known: Tensor) -> WindowInputs:
        with self._lend(self._parts.clip.model):
            image_features = self._parts.clip.encode(known[:, -1][None])
        condition = encode_known(self._parts, known, self._geometry.frame_num)
        grid = self._parts.dit.grid(condition.shape)
        return WindowInputs(
            condition=condition,
            image_features=image_features,
            voice_features=gather(scene.voice_features, window).to(self._device),
            masks=token_masks(scene.masks, grid[1:]).to(self._device),
        )

    def _encode_prompts(self, recipe: Recipe) -> Prompts:
        needs_negative = any(not one.has_prompt for one in recipe.scales.passes)
        texts = [recipe.prompt, recipe.negative_prompt] if needs_negative else [recipe.prompt]
        with self._lend(self._parts.text.model):
            contexts = self._parts.text.encode(texts)
        return Prompts(contexts[0], contexts[1] if needs_negative else None)


def latent_frames(frames: int) -> int:
    """Latent frames that stand for `frames` video frames."""
    return 1 + (frames - 1) // TIME_STRIDE


def encode_known(parts: Components, known: Tensor, frame_num: int) -> Tensor:
    """Encode known frames, the rest of the window empty, and put the mask of what is known before it.

    The result is `[4 + channels, T, h, w]`; the four mask channels are the four video frames of a latent frame, the
    first of which stands for all four in the first.
    """
    channels, count, height, width = known.shape
    empty = known.new_zeros(channels, frame_num - count, height, width)
    latents = parts.vae.encode(torch.cat((known, empty), dim=1))
    return torch.cat((known_mask(count, frame_num, latents), latents))


def known_mask(count: int, frame_num: int, latents: Tensor) -> Tensor:
    """Mark known frames, `[4, T, h, w]`."""
    per_frame = (torch.arange(frame_num, device=latents.device) < count).float()
    slots = torch.cat((per_frame[:1].repeat(TIME_STRIDE), per_frame[1:])).reshape(-1, TIME_STRIDE)
    return slots.T[:, :, None, None].expand(-1, -1, *latents.shape[-2:])


def latent_size(height: int, width: int) -> tuple[int, int]:
    """Latent rows and columns of a picture."""
    return height // SPACE_STRIDE, width // SPACE_STRIDE
