"""Checkpoints that people have and this engine does not read are named when they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.engine import CheckpointError, load_engine
from inference.engine.checkpoint.other_layouts import foreign_names
from inference.multitalk import AUDIO, BASE, WAV2VEC, Variant


def reason(volume: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    return str(caught.value)


def remove_shards(volume: Path) -> None:
    for shard in (volume / BASE).glob("*.safetensors"):
        shard.unlink()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wan2.1-i2v-14b-480p-Q8_0.gguf", "holds wan2.1-i2v-14b-480p-Q8_0.gguf: a GGUF file, which is not read"),
        ("quant_model_int8_FusionX.safetensors", "a file that optimum-quanto made"),
        ("quantization_map_int8_FusionX.json", "a file that optimum-quanto made"),
        ("dit_model_int8.safetensors", "a file that optimum-quanto made"),
        ("dit_model_map_int8.json", "a file that optimum-quanto made"),
        ("t5_int8.safetensors", "a file that optimum-quanto made"),
        ("t5_fp8.safetensors", "a file that optimum-quanto made"),
        ("t5_map_fp8.json", "a file that optimum-quanto made"),
        ("model_index.json", "a model in diffusers' layout"),
        ("Wan2_1-I2V-14B-480P_fp8.safetensors", "call it diffusion_pytorch_model.safetensors"),
    ],
)
def test_what_lies_in_the_place_of_the_transformer_is_named(volume: Path, name: str, words: str) -> None:
    remove_shards(volume)
    (volume / BASE / name).write_bytes(b"")
    assert words in reason(volume)


def test_a_folder_of_diffusers_is_named(volume: Path) -> None:
    remove_shards(volume)
    (volume / BASE / "transformer").mkdir()
    assert "transformer/: a model in diffusers' layout, which is not read; take the official files" in reason(volume)


@pytest.mark.parametrize("beside_the_base", [False, True])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("single/infinitetalk.safetensors", "name it as the directory of the weights (--audio-dir)"),
        ("infinitetalk_single_fp8.safetensors", "with multitalk.safetensors or infinitetalk.safetensors"),
        ("infinitetalk_multi_int8_lora.safetensors", "a file that optimum-quanto made"),
        ("infinitetalk_single_int8.json", "a file that optimum-quanto made"),
        ("quant_models/t5_int8.safetensors", "quant_models/: a folder of files that optimum-quanto made"),
        ("infinitetalk_comfy.safetensors", "weights of InfiniteTalk in another form"),
    ],
)
def test_the_weights_of_infinitetalk_are_named_and_no_others_taken_for_them(
    volume: Path, name: str, words: str, beside_the_base: bool
) -> None:
    official = volume / AUDIO / Variant.MULTITALK.audio_file
    if beside_the_base:
        (volume / BASE / official.name).hardlink_to(official)
    (volume / AUDIO / name).parent.mkdir(exist_ok=True)
    official.rename(volume / AUDIO / name)
    assert words in reason(volume)


def test_where_nothing_else_lies_the_cure_is_a_sync(volume: Path) -> None:
    remove_shards(volume)
    assert reason(volume).endswith(". Sync the volume")


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "module.", "_orig_mod."])
def test_prefixed_names_are_named(volume: Path, prefix: str) -> None:
    for shard in (volume / BASE).glob("*.safetensors"):
        save_file({f"{prefix}{name}": tensor for name, tensor in load_file(shard).items()}, shard)
    assert f"its tensors have names that begin with {prefix}" in reason(volume)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("blocks.0.self_attn.q.weight._data", "quantised by optimum-quanto"),
        ("blocks.0.self_attn.q.weight._shift", "quantised by optimum-quanto"),
        ("blocks.0.self_attn.q.output_scale", "its tensors are quantised"),
        ("blocks.0.self_attn.q.scale_weight", "its tensors are quantised"),
        ("blocks.0.self_attn.q.weight_scale", "its tensors are quantised"),
        ("condition_embedder.time_proj.weight", "diffusers' names"),
        ("blocks.0.self_attn.q.weight", None),
    ],
)
def test_names_tell_quantised_tensors_and_those_of_diffusers(name: str, words: str | None) -> None:
    found = foreign_names({name: torch.zeros(1)})
    assert (found is None) if words is None else (found is not None and words in found)


def test_a_transformer_that_optimum_quanto_froze_is_refused_with_the_cure(volume: Path) -> None:
    """The keys are those of its version 0.2.6 for int8: data, one scale for each row, and two scales of activations."""
    for shard in (volume / BASE).glob("*.safetensors"):
        frozen: dict[str, torch.Tensor] = {}
        for name, tensor in load_file(shard).items():
            if not name.endswith("self_attn.q.weight"):
                frozen[name] = tensor
                continue
            module = name.removesuffix(".weight")
            scale = tensor.abs().amax(1, keepdim=True) / 127
            frozen |= {f"{name}._data": (tensor / scale).round().to(torch.int8), f"{name}._scale": scale}
            frozen |= {f"{module}.{which}_scale": torch.ones(()) for which in ("input", "output")}
        save_file(frozen, shard)
    assert "quantised by optimum-quanto, which is not read; take the official files" in reason(volume)
