"""A step of the transformer at any size, with random weights.

Nothing is read from disk, so that a GPU can be measured before 90 GB have been fetched. The numbers hold for the real
weights too: no step depends on their values (but for TeaCache, which is off). One JSON line is printed:

    {"device": "NVIDIA H100", "people": 1, "passes": 3, "tokens": 33600, "compiled": false, "batched": true,
     "secondsPerStep": 12.3, "peakBytes": 60000000000}

Loading is not measured here: `volume` does that.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from inference.engine.dit.config import DitConfig
from inference.engine.dit.model import MultiTalkDiT
from inference.engine.offload import compile_blocks
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.sampling.guidance import THREE_PASSES, TWO_PASSES
from inference.engine.sampling.schedule import timesteps

IMAGE_TOKENS = 257


@dataclass(frozen=True, slots=True)
class Setting:
    """What to measure."""

    device: torch.device
    people: int = 1
    two_passes: bool = False
    height: int = 640
    width: int = 640
    frames: int = 81
    steps: int = 3
    compile: bool = False
    batch_passes: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured; the first step, which warms up, is not in it."""

    tokens: int
    seconds_per_step: float
    peak_bytes: int | None


def random_dit(config: DitConfig, device: torch.device, dtype: torch.dtype) -> MultiTalkDiT:
    """Make a transformer with small random weights where it will run."""
    with torch.device("meta"):
        model = MultiTalkDiT(config).to(dtype)
    model = model.to_empty(device=device).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=0.02)
    return model


@torch.inference_mode()
def measure(config: DitConfig, setting: Setting) -> Result:
    """Time steps of one window."""
    device = setting.device
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    dit = random_dit(config, device, dtype)
    if setting.compile:
        compile_blocks(dit.blocks)
    shape = (config.out_channels, 1 + (setting.frames - 1) // 4, setting.height // 8, setting.width // 8)
    predictor = _predictor(dit, setting, shape)
    latent = torch.randn(shape, device=device)
    predictor.velocities(latent, 0)
    _wait(device)
    started = time.perf_counter()
    for step in range(1, setting.steps + 1):
        predictor.velocities(latent, step)
    _wait(device)
    seconds = (time.perf_counter() - started) / setting.steps
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Result(math.prod(dit.grid(shape)), seconds, peak)


def _predictor(dit: MultiTalkDiT, setting: Setting, shape: tuple[int, int, int, int]) -> WindowPredictor:
    config, device = dit.config, setting.device
    _, rows, columns = dit.grid(shape)
    masks = torch.zeros(3, rows, columns, dtype=torch.bool, device=device)
    third = columns // 3
    masks[0, :, :third] = masks[1, :, -third:] = masks[2, :, third:-third] = True
    features = (setting.people, setting.frames, config.audio.window, 1, config.audio.features)
    inputs = WindowInputs(
        condition=torch.randn(config.in_channels - shape[0], *shape[1:], device=device),
        image_features=torch.randn(1, IMAGE_TOKENS, config.image_dim, device=device),
        voice_features=torch.randn(features, device=device),
        masks=masks.flatten(1),
    )
    prompts = Prompts(*(torch.randn(length, config.text_dim, device=device) for length in (64, 128)))
    time_rows = dit.time_conditioning(timesteps(setting.steps + 1, 7.0)[:-1].to(device))
    passes = TWO_PASSES if setting.two_passes else THREE_PASSES
    return WindowPredictor(dit, inputs, prompts, passes, time_rows, None, batch_passes=setting.batch_passes)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(setting: Setting, result: Result) -> dict[str, object]:
    """Put setting and result into the words of the printed line."""
    device = setting.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "people": setting.people,
        "passes": 2 if setting.two_passes else 3,
        "tokens": result.tokens,
        "compiled": setting.compile,
        "batched": setting.batch_passes,
        "secondsPerStep": round(result.seconds_per_step, 3),
        "peakBytes": result.peak_bytes,
    }
