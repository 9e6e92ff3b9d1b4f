"""Every case of the reference folder, at the tolerance that it states."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from inference_engine.parity import golden, media, modules, sampling
from inference_engine.parity.golden import Case
from inference_engine.parity.modules import Outputs

RUNS: dict[str, Callable[[Case], Outputs]] = {
    "audio_mix": media.audio_mix,
    "audio_proj": modules.audio_proj,
    "buckets": media.buckets,
    "clip": modules.clip,
    "colour": media.colour,
    "dit_block": modules.dit_block,
    "dit_forward": modules.dit_forward,
    "frames_uint8": media.frames_uint8,
    "generate": sampling.generate,
    "lora": media.lora,
    "masks": media.masks,
    "resize_crop": media.resize_crop_case,
    "sampler": sampling.sampler,
    "t5": modules.t5,
    "t5_text": modules.t5_text,
    "teacache": sampling.teacache_plan,
    "teacache_run": sampling.teacache_run,
    "timesteps": sampling.timesteps_case,
    "vae": modules.vae,
    "vae_condition": modules.vae_condition,
    "wav2vec2": modules.wav2vec2,
    "window_plan": sampling.window_plan,
}
FOLDER = golden.folder()
CASES = golden.read_cases(FOLDER) if FOLDER else []


@pytest.mark.skipif(not FOLDER, reason="no reference folder: set MULTITALK_GOLDEN to compare with the official numbers")
def test_every_case_of_the_reference_folder_is_compared() -> None:
    assert FOLDER is not None
    listed = json.loads((FOLDER / "cases.json").read_bytes())
    assert len(CASES) == listed["case_count"] > 0
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_equals_the_official_code(case: Case) -> None:
    assert case.kind in RUNS, f"no comparison is written for kind {case.kind}"
    outputs = RUNS[case.kind](case)
    problems = []
    for name, (expected, tolerance) in case.expected().items():
        found = outputs.get(name)
        if found is None:
            problems.append(f"{name}: not computed")
        elif tuple(found.shape) != tuple(expected.shape):
            problems.append(f"{name}: shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
        else:
            worst = (found.detach().double() - expected.double()).abs().max().item()
            if not worst <= tolerance:
                problems.append(f"{name}: off by {worst:.3g}, allowed {tolerance:g}")
            assert torch.isfinite(expected).all()
    problems += [f"{name}: an argument that this comparison does not know" for name in case.args.unread()]
    assert not problems, "\n".join(problems)


def test_an_argument_that_no_comparison_reads_is_found() -> None:
    args = golden.Arguments({"steps": 4, "masks": "ones", "bbox": {"person1": [0]}, "cases": [{"size": 1}, {"fps": 2}]})
    assert (args["steps"], args["cases"][0]["size"], args.get("absent")) == (4, 1, None)
    assert args.unread() == ["bbox", "bbox.person1", "cases.fps"]
