"""The 14B model, built without memory: its parameters, and a step that waits for nothing.

On the meta device a tensor has a shape and no values. Code that asks for a value (`item`, `tolist`, a branch on a
tensor) or mixes in a tensor of another device fails there; so a step that runs on it cannot hold up a GPU either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inference.engine.dit.config import DitConfig
from inference.engine.dit.model import MultiTalkDiT
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.sampling.guidance import GuidanceScales
from inference.engine.sampling.sampler import sample
from inference.engine.sampling.schedule import timesteps
from inference.engine.sampling.teacache import StepEstimate
from multitalk_checkpoint.official import DIT as FULL

META = torch.device("meta")
SHORT = replace(FULL, num_layers=3)
"""The full width in fewer layers, which are all alike."""
LATENT = (16, 21, 80, 80)


@pytest.fixture(scope="module")
def model() -> MultiTalkDiT:
    with META:
        return MultiTalkDiT(SHORT).bfloat16().eval()


def test_it_has_the_published_number_of_parameters() -> None:
    with META:
        model = MultiTalkDiT(FULL)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert len(shapes) == 1303 + 330
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 18_882_046_784
    assert DitConfig.from_checkpoint(shapes, {"num_heads": 40, "eps": 1e-6, "text_len": 512}) == FULL


class SilentNoise:
    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.zeros(tuple(shape))


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("batch_passes", [True, False])
@pytest.mark.parametrize("scales", [GuidanceScales(5, 4), GuidanceScales(1, 2), GuidanceScales(5, 4, apg=True)])
def test_a_window_of_33600_tokens_needs_no_value_on_the_host(
    model: MultiTalkDiT, people: int, batch_passes: bool, scales: GuidanceScales
) -> None:
    steps = 2
    times = timesteps(steps, 7.0)
    rows = 40 * 40
    inputs = WindowInputs(
        condition=torch.empty(20, *LATENT[1:], device=META),
        image_features=torch.empty(1, 257, 1280, device=META),
        voice_features=torch.empty(people, 81, 5, 12, 768, device=META),
        masks=torch.empty(3, rows, dtype=torch.bool, device=META),
    )
    prompts = Prompts(torch.empty(20, 4096, device=META), torch.empty(126, 4096, device=META))
    plan = [StepEstimate(step != 1, 0.0, 0.0) for step in range(steps)]
    with torch.inference_mode():
        time = model.time_conditioning(times[:-1].to(META))
        predictor = WindowPredictor(model, inputs, prompts, scales.passes, time, plan, batch_passes=batch_passes)
        known = torch.empty(16, 7, 80, 80, device=META)
        latent = sample(LATENT, times, predictor, scales, SilentNoise(), known=known, device=META)
    assert tuple(latent.shape) == LATENT
    assert latent.dtype == torch.float32
