"""Schedule, guidance and caching by their properties; their numbers are in the parity tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from inference.engine import MultiTalkEngine, load_engine
from inference.engine.known_frames import known_mask
from inference.engine.offload import compile_blocks
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.sampling.guidance import (
    THREE_PASSES,
    TWO_PASSES,
    GuidanceScales,
    Pass,
    ProjectedGuidance,
    make_guidance,
)
from inference.engine.sampling.noise import SeededNoise
from inference.engine.sampling.sampler import sample
from inference.engine.sampling.schedule import timesteps
from inference.engine.sampling.teacache import ALWAYS_COMPUTED, StepEstimate, plan_steps
from inference.multitalk import AUDIO, BASE, WAV2VEC
from multitalk_checkpoint.tiny import TinySizes, write_tiny

SHAPE = (16, 2, 4, 6)


def velocities(count: int) -> list[Tensor]:
    return [torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in range(count)]


@pytest.mark.parametrize("steps", [1, 2, 8, 40])
@pytest.mark.parametrize("shift", [1.0, 7.0, 11.0])
def test_times_fall_from_full_noise_to_none(steps: int, shift: float) -> None:
    times = timesteps(steps, shift)
    assert (len(times), times[0].item(), times[-1].item()) == (steps + 1, 1000.0, 0.0)
    assert bool((times[:-1] > times[1:]).all())


def test_text_scale_one_needs_two_passes() -> None:
    assert GuidanceScales(text=1.0, audio=2.0).passes == TWO_PASSES
    assert GuidanceScales(text=1.01, audio=2.0).passes == THREE_PASSES


def test_the_passes_drop_what_their_names_say() -> None:
    assert {one: (one.has_prompt, one.has_voice) for one in Pass} == {
        Pass.COND: (True, True),
        Pass.DROP_TEXT: (False, True),
        Pass.DROP_AUDIO: (True, False),
        Pass.UNCOND: (False, False),
    }


@pytest.mark.parametrize("apg", [False, True])
def test_equal_passes_need_no_guidance(apg: bool) -> None:
    same = velocities(1) * 3
    joined = make_guidance(GuidanceScales(5.0, 4.0, apg=apg)).join(same)
    assert torch.allclose(joined, same[0], atol=1e-6)


def test_projected_guidance_adds_nothing_along_the_prediction() -> None:
    cond, drop_audio = velocities(2)
    joined = ProjectedGuidance(GuidanceScales(1.0, 3.0, apg=True, apg_norm_limit=1e9)).join([cond, drop_audio])
    added = (joined - cond).double()
    assert abs((added * cond.double()).sum().item()) < 1e-3 * added.norm().item() * cond.norm().item()
    assert added.norm() > 1


def test_projected_guidance_limits_the_length() -> None:
    cond, drop_audio = velocities(2)
    joined = ProjectedGuidance(GuidanceScales(1.0, 3.0, apg=True, apg_norm_limit=0.5)).join([cond, drop_audio])
    assert (joined - cond).norm().item() <= 2 * 0.5 + 1e-4


def test_a_seed_gives_the_same_noise_whatever_was_drawn_elsewhere() -> None:
    first = SeededNoise(3)
    torch.manual_seed(0)
    torch.randn(10)
    second = SeededNoise(3)
    draws = [[source.normal((2, 3)) for _ in range(2)] for source in (first, second)]
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(draws[0][0], draws[0][1])


def test_the_opening_steps_are_always_computed_and_skipping_grows_with_the_threshold() -> None:
    modulation = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    slowly = modulation + 0.02 * torch.randn(40, 6, 8, generator=torch.Generator().manual_seed(1))
    counts = [
        [step.compute for step in plan_steps(slowly, "multitalk-480", threshold)] for threshold in (1e-9, 0.3, 3.0, 1e9)
    ]
    assert all(all(plan[:ALWAYS_COMPUTED]) for plan in counts)
    computed = [sum(plan) for plan in counts]
    assert computed == sorted(computed, reverse=True)
    assert (computed[0], computed[-1]) == (40, ALWAYS_COMPUTED)


class Case:
    """A window on the tiny transformer."""

    def __init__(self, engine: MultiTalkEngine, people: int) -> None:
        self.dit = engine._parts.dit
        generator = torch.Generator().manual_seed(people)
        latents = torch.randn(16, 3, 4, 6, generator=generator)
        features = torch.randn(people, 9, 5, 3, 32, generator=generator)
        masks = torch.tensor([[1, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1], [0, 1, 0, 0, 1, 0]]).bool()
        condition = torch.cat((known_mask(1, 9, latents), latents))
        self.inputs = WindowInputs(condition, torch.randn(1, 257, 32, generator=generator), features, masks)
        self.prompts = Prompts(*(torch.randn(n, 32, generator=generator) for n in (5, 3)))
        self.latent = torch.randn(16, 3, 4, 6, generator=generator)
        self.time = self.dit.time_conditioning(timesteps(3, 7.0)[:-1])

    def predictor(self, passes: Sequence[Pass], computed: Sequence[bool] | None, batched: bool) -> WindowPredictor:
        plan = None if computed is None else [StepEstimate(c, 0, 0) for c in computed]
        with torch.inference_mode():
            return WindowPredictor(self.dit, self.inputs, self.prompts, passes, self.time, plan, batch_passes=batched)


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("passes", [TWO_PASSES, THREE_PASSES])
def test_batched_passes_equal_single_ones(engine: MultiTalkEngine, people: int, passes: Sequence[Pass]) -> None:
    case = Case(engine, people)
    both = [case.predictor(passes, None, batched).velocities(case.latent, 1) for batched in (True, False)]
    assert len(both[0]) == len(both[1]) == len(passes)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*both, strict=True))
    assert not torch.allclose(both[0][0], both[0][1], atol=1e-2)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("passes", [TWO_PASSES, THREE_PASSES])
def test_a_skipped_step_reuses_the_residual_of_its_own_pass(
    engine: MultiTalkEngine, passes: Sequence[Pass], batched: bool
) -> None:
    case = Case(engine, 2)
    predictor = case.predictor(passes, (True, False, True), batched)
    predictor.velocities(case.latent, 0)
    # At the same latent the same residual under another time's head is what a skipped step must give.
    skipped = predictor.velocities(case.latent, 1)
    for number, one in enumerate(passes):
        alone = case.predictor([one], (True, False, True), True)
        alone.velocities(case.latent, 0)
        assert torch.allclose(skipped[number], alone.velocities(case.latent, 1)[0], atol=1e-4)
    computed = case.predictor(passes, None, batched).velocities(case.latent, 1)
    assert not torch.allclose(skipped[0], computed[0], atol=1e-4)


@pytest.mark.parametrize("people", [1, 2])
def test_half_precision_stays_near_full(engine: MultiTalkEngine, tiny_volume: Path, people: int) -> None:
    half = load_engine(tiny_volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu", dtype="bfloat16")
    full = Case(engine, people)
    case = Case(half, people)
    for wide, narrow in zip(
        full.predictor(THREE_PASSES, None, True).velocities(full.latent, 1),
        case.predictor(THREE_PASSES, None, True).velocities(case.latent, 1),
        strict=True,
    ):
        assert narrow.dtype == torch.float32
        assert ((wide - narrow).norm() / wide.norm()).item() < 0.08


def test_all_blocks_share_their_compiled_graphs(tmp_path: Path) -> None:
    volume = write_tiny(tmp_path, TinySizes(layers=10))
    case = Case(load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu"), 2)
    expected = case.predictor(THREE_PASSES, None, True).velocities(case.latent, 1)
    counters.clear()
    compile_blocks(case.dit.blocks, backend="eager")
    found = case.predictor(THREE_PASSES, None, True).velocities(case.latent, 1)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    # One graph for the first block, whose input is one latent seen by all passes, and one for all others.
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]


class Straight:
    """A model that always points from data to noise, so that the sampler must arrive at the data."""

    def __init__(self, data: Tensor, noise: Tensor) -> None:
        self._velocity = noise - data

    def velocities(self, latent: Tensor, step: int) -> list[Tensor]:
        return [self._velocity, self._velocity]


def test_the_sampler_follows_a_straight_path_to_its_end() -> None:
    data, noise = velocities(2)

    class Given:
        def normal(self, shape: Sequence[int]) -> Tensor:
            return noise

    out = sample(
        SHAPE,
        timesteps(7, 7.0),
        Straight(data, noise),
        GuidanceScales(1.0, 2.0),
        Given(),
        known=None,
        device=torch.device("cpu"),
    )
    assert torch.allclose(out, data, atol=1e-5)


def test_known_frames_come_out_unchanged() -> None:
    data, noise = velocities(2)
    known = torch.full((16, 1, 4, 6), 0.5)
    out = sample(
        SHAPE,
        timesteps(3, 7.0),
        Straight(data, noise),
        GuidanceScales(1.0, 2.0),
        SeededNoise(0),
        known=known,
        device=torch.device("cpu"),
    )
    assert torch.allclose(out[:, :1], known)
    assert not torch.allclose(out[:, 1:], torch.tensor(0.5), atol=0.1)
