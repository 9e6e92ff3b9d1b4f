"""Every case of the reference folders, at the tolerance that it states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from inference_engine.parity import golden, infinitetalk, media, modules, sampling
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
    "infinitetalk_condition": infinitetalk.condition,
    "infinitetalk_generate": infinitetalk.generate,
    "infinitetalk_sampler": infinitetalk.sampler,
    "infinitetalk_window_plan": infinitetalk.window_plan,
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
FOLDERS = [found for model in golden.VARIABLES if (found := golden.folder(model))]
CASES = [case for folder in FOLDERS for case in golden.read_cases(folder)]


@pytest.mark.skipif(not FOLDERS, reason=f"no reference folder: set {' or '.join(golden.VARIABLES.values())} to compare")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_case_of_a_reference_folder_is_compared(folder: Path) -> None:
    listed = json.loads((folder / "cases.json").read_bytes())
    found = [case.id for case in CASES if case.folder == folder]
    assert len(found) == len(set(found)) == listed["case_count"] > 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.folder.name}-{case.id}")
def test_equals_the_official_code(case: Case) -> None:
    assert case.kind in RUNS, f"no comparison is written for kind {case.kind}"
    found = problems(case, RUNS[case.kind](case))
    assert not found, "\n".join(found)


def problems(case: Case, outputs: Outputs) -> list[str]:
    """How the outputs differ from what is recorded, by more than the case allows."""
    found = []
    for name, (expected, tolerance) in case.expected().items():
        output = outputs.get(name)
        if output is None:
            found.append(f"{name}: not computed")
        elif tuple(output.shape) != tuple(expected.shape):
            found.append(f"{name}: shape {tuple(output.shape)} instead of {tuple(expected.shape)}")
        else:
            worst = (output.detach().double() - expected.double()).abs().max().item()
            if not worst <= tolerance:
                found.append(f"{name}: off by {worst:.3g}, allowed {tolerance:g}")
            assert torch.isfinite(expected).all()
    return found + [f"{name}: an argument that this comparison does not know" for name in case.args.unread()]


def test_an_argument_that_no_comparison_reads_is_found() -> None:
    args = golden.Arguments({"steps": 4, "masks": "ones", "bbox": {"person1": [0]}, "cases": [{"size": 1}, {"fps": 2}]})
    assert (args["steps"], args["cases"][0]["size"], args.get("absent")) == (4, 1, None)
    assert args.unread() == ["bbox", "bbox.person1", "cases.fps"]
