"""The tables of GPUs in docs/capacity.md are what the plan says of the published sizes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from inference.engine import EngineError
from inference.engine.checkpoint.streaming import READ_AHEAD
from inference.engine.geometry import Geometry
from inference.engine.memory import MemoryPlan, ModelBytes, plan_memory, work_bytes
from multitalk_checkpoint import official
from multitalk_checkpoint.shapes import Shapes, clip_shapes, dit_shapes, text_shapes, vae_shapes, voice_shapes

CAPACITY = Path(__file__).parents[2] / "docs" / "capacity.md"
PAGE_LOCKED_BLOCK = 2**30
"""A block of 0.93 GB, rounded up to a power of two by the allocator of page-locked memory."""


def elements(shapes: Shapes) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


@pytest.fixture(scope="module")
def sizes() -> ModelBytes:
    base, audio = dit_shapes(official.DIT)
    dit = base | audio
    clip = clip_shapes(official.clip_config())
    picture = {name: shape for name, shape in clip.items() if name.startswith("visual.")}
    return ModelBytes(
        dit=2 * elements(dit),
        block=2 * elements({name: shape for name, shape in dit.items() if name.startswith("blocks.0.")}),
        blocks=official.DIT.num_layers,
        encoders=(2 * elements(text_shapes(official.text_config())), 2 * elements(picture)),
        always=4 * (elements(vae_shapes(official.VAE)) + elements(voice_shapes(official.VOICE))),
        arriving=(READ_AHEAD + 1) * 4 * max(torch.Size(shape).numel() for shape in dit.values()),
    )


def in_words(sizes: ModelBytes, plan: MemoryPlan, devices: int = 1) -> str:
    shared = f"{_blocks(sizes, plan.shared_blocks)} shared; " if plan.shared_blocks else ""
    if not plan.encoders_on_host:
        return shared + "nothing"
    host = (sum(sizes.encoders) + plan.host_blocks * PAGE_LOCKED_BLOCK) / 1e9
    what = f"parts of {plan.host_blocks}" if devices > 1 else _blocks(sizes, plan.host_blocks)
    blocks = f", {what}" if plan.host_blocks else ""
    return f"{shared}encoders{blocks}: {host:.0f} GB"


def _blocks(sizes: ModelBytes, count: int) -> str:
    return f"{'all ' if count == sizes.blocks else ''}{count} blocks"


def planned(sizes: ModelBytes, gib: int, resolution: str, devices: int = 1) -> str:
    geometry = Geometry()
    pixels = geometry.most_pixels(resolution)
    work = work_bytes(official.DIT, 2, official.VAE.base_dim, devices)
    try:
        plan = plan_memory(gib * 2**30, sizes, work, geometry.tokens(pixels), pixels, devices)
    except EngineError:
        return "does not fit"
    return in_words(sizes, plan, devices)


def test_the_table_is_what_would_be_planned(sizes: ModelBytes) -> None:
    rows = re.findall(r"^\| (\d+) GiB \| (.+?) \| (.+?) \|$", CAPACITY.read_text(), flags=re.MULTILINE)
    assert len(rows) == 7
    for gib, smaller, larger in rows:
        assert (smaller, larger) == tuple(
            planned(sizes, int(gib), resolution) for resolution in ("multitalk-480", "multitalk-720")
        ), f"{gib} GiB"


def test_the_table_of_several_gpus_is_what_would_be_planned(sizes: ModelBytes) -> None:
    rows = re.findall(r"^\| (\d+) x (\d+) GiB \| (.+?) \| (.+?) \|$", CAPACITY.read_text(), flags=re.MULTILINE)
    assert len(rows) == 7
    for devices, gib, smaller, larger in rows:
        assert (smaller, larger) == tuple(
            planned(sizes, int(gib), resolution, int(devices)) for resolution in ("multitalk-480", "multitalk-720")
        ), f"{devices} x {gib} GiB"
