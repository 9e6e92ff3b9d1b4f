"""LoRA files at load: what they change, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inference.engine import CheckpointError, MultiTalkEngine, load_engine
from inference.engine.checkpoint.lora import DEFAULT_SCALE, plan_changes
from inference.multitalk import AUDIO, BASE, WAV2VEC

TARGET = "blocks.0.self_attn.q"


def load(volume: Path, *files: Path, scale: float | None = None) -> MultiTalkEngine:
    return load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu", loras=files, lora_scale=scale)


def lora_file(folder: Path, name: str = "one", target: str = TARGET, **more: Tensor) -> Path:
    path = folder / f"{name}.safetensors"
    down, up = torch.full((2, 64), 0.5), torch.full((64, 2), 0.25)
    prefix = f"diffusion_model.{target}"
    save_file({f"{prefix}.lora_down.weight": down, f"{prefix}.lora_up.weight": up, **more}, path)
    return path


def weight(engine: MultiTalkEngine) -> Tensor:
    return engine._parts.dit.get_parameter(f"{TARGET}.weight")


@pytest.mark.parametrize("scale", [None, 0.5])
def test_a_pair_adds_its_product_times_the_scale(
    engine: MultiTalkEngine, tiny_volume: Path, tmp_path: Path, scale: float | None
) -> None:
    merged = weight(load(tiny_volume, lora_file(tmp_path), scale=scale))
    expected = (DEFAULT_SCALE if scale is None else scale) * 0.25
    assert torch.allclose(merged - weight(engine), torch.full((64, 64), expected), atol=1e-6)


def test_files_add_up(engine: MultiTalkEngine, tiny_volume: Path, tmp_path: Path) -> None:
    files = lora_file(tmp_path, "one"), lora_file(tmp_path, "two")
    merged = weight(load(tiny_volume, *files, scale=1.0))
    assert torch.allclose(merged - weight(engine), torch.full((64, 64), 0.5), atol=1e-6)


def test_other_parameters_stay(engine: MultiTalkEngine, tiny_volume: Path, tmp_path: Path) -> None:
    merged = load(tiny_volume, lora_file(tmp_path))._parts.dit.state_dict()
    before = engine._parts.dit.state_dict()
    assert [name for name in before if not torch.equal(before[name], merged[name])] == [f"{TARGET}.weight"]


def test_a_file_for_another_model_is_refused(tiny_volume: Path, tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    save_file({"unet.down.lora_down.weight": torch.zeros(2, 4)}, path)
    with pytest.raises(CheckpointError, match=r"merging unet\.safetensors: no key begins with diffusion_model\."):
        load(tiny_volume, path)


def test_a_change_of_a_parameter_that_does_not_exist_is_refused(tiny_volume: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the model has no blocks\.9\.self_attn\.q\.weight"):
        load(tiny_volume, lora_file(tmp_path, target="blocks.9.self_attn.q"))


def test_a_change_of_another_shape_is_refused(tiny_volume: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"the change of blocks\.0\.ffn\.0\.weight is \[64, 64\], not \[128, 64\]"
    ):
        load(tiny_volume, lora_file(tmp_path, target="blocks.0.ffn.0"))


def test_a_missing_file_is_named(tiny_volume: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        load(tiny_volume, tmp_path / "absent.safetensors")


def test_keys_tell_what_changes() -> None:
    keys = {
        "diffusion_model.a.lora_down.weight",
        "diffusion_model.a.lora_up.weight",
        "diffusion_model.a.alpha",
        "diffusion_model.half.lora_down.weight",
        "diffusion_model.norm.diff",
        "diffusion_model.norm.diff_b",
        "other.b.lora_up.weight",
        "other.b.lora_down.weight",
    }
    assert [change.target for change in plan_changes(keys)] == ["a.weight", "norm.weight", "norm.bias"]
