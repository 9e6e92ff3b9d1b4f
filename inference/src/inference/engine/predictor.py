"""Velocities of a step's passes from the transformer, batched where memory allows.

All passes of a step see the same latent and time; they differ in prompt and voice. They run as one batch, or one after
the other (`batch_passes=False`), which takes a third of the memory for activations. What does not change between steps
(projected prompts, picture, audio tokens, modulation of all steps, the caching plan) is computed here once per window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.dit.audio import Voices
from inference.engine.dit.block import Guides
from inference.engine.dit.model import MultiTalkDiT, TimeConditioning
from inference.engine.dit.parallel import ALONE, TokenShards
from inference.engine.dit.rotary import grid_rotary
from inference.engine.sampling.guidance import Pass
from inference.engine.sampling.teacache import ResidualCache, StepEstimate


@dataclass(frozen=True, slots=True)
class Prompts:
    """Contexts `[length, dim]` of the prompt and, where a pass needs it, of the negative prompt."""

    positive: Tensor
    negative: Tensor | None


@dataclass(frozen=True, slots=True)
class WindowInputs:
    """What one window is made from."""

    condition: Tensor
    """Mask and latents of the known frames, `[4 + channels, T, h, w]`."""
    image_features: Tensor
    voice_features: Tensor
    """`[people, frames, window, layers, dim]`."""
    masks: Tensor
    """Regions on the token grid, `[3, tokens per frame]`."""


class WindowPredictor:
    """The transformer with everything but latent and step filled in."""

    def __init__(
        self,
        dit: MultiTalkDiT,
        inputs: WindowInputs,
        prompts: Prompts,
        passes: Sequence[Pass],
        time: TimeConditioning,
        plan: Sequence[StepEstimate] | None,
        *,
        batch_passes: bool = True,
        shards: TokenShards = ALONE,
    ) -> None:
        self._dit = dit
        self._shards = shards
        self._time = time
        self._plan = plan
        self._cache = ResidualCache()
        self._condition = inputs.condition[None]
        groups = [passes] if batch_passes else [[one] for one in passes]
        self._groups = [self._guides(inputs, prompts, group) for group in groups]
        self._sizes = [len(group) for group in groups]

    @torch.inference_mode()
    def velocities(self, latent: Tensor, step: int) -> list[Tensor]:
        """Return one velocity per pass."""
        time = self._time.at(step)
        embedded = self._shards.split(self._dit.embed(latent[None], self._condition))
        compute = self._plan is None or self._plan[step].compute
        results: list[Tensor] = []
        for number, (guides, size) in enumerate(zip(self._groups, self._sizes, strict=True)):
            tokens = embedded.expand(size, -1, -1)
            if compute:
                out = self._dit.run_blocks(tokens, time, guides)
                if self._plan is not None:
                    self._cache.store(number, tokens, out)
            else:
                out = self._cache.apply(number, tokens)
            results.extend(self._dit.unembed(out, time, self._dit.grid(latent.shape), self._shards).unbind(0))
        return results

    def _guides(self, inputs: WindowInputs, prompts: Prompts, passes: Sequence[Pass]) -> Guides:
        contexts = [self._context(prompts, one) for one in passes]
        image = self._dit.project_image(inputs.image_features)
        grid = self._dit.grid(inputs.condition.shape)
        return Guides(
            text=self._dit.project_text(contexts),
            image=image.expand(len(passes), -1, -1),
            voices=self._voices(inputs.voice_features, passes),
            masks=inputs.masks,
            rotary=grid_rotary(grid, self._dit.config.head_dim, image.device),
            shards=self._shards,
        )

    @staticmethod
    def _context(prompts: Prompts, one: Pass) -> Tensor:
        if one.has_prompt:
            return prompts.positive
        assert prompts.negative is not None
        return prompts.negative

    def _voices(self, features: Tensor, passes: Sequence[Pass]) -> Voices:
        people = features.shape[0]
        heard = sum(1 for one in passes if one.has_voice)
        spoken, silent = None, None
        if heard:
            spoken = join_people(self._dit.audio_proj(features)).expand(heard, -1, -1, -1)
        if heard < len(passes):
            silence = torch.zeros_like(features[:1])
            silent = self._dit.audio_proj(silence).expand(len(passes) - heard, -1, -1, -1)
        if people > 1:
            return Voices(pair=spoken, single=silent)
        return Voices(pair=None, single=torch.cat([part for part in (spoken, silent) if part is not None]))


def join_people(tokens: Tensor) -> Tensor:
    """Put people one after the other on the token axis: `[people, T, n, d]` to `[1, T, people * n, d]`."""
    return tokens.transpose(0, 1).flatten(1, 2)[None]
