"""A tiny MultiTalk in the official layout, for tests and demonstrations: `python -m inference.tiny DIR`.

    DIR/Wan2.1-I2V-14B-480P/     config.json, three shards and their index, T5, CLIP, VAE, tokenizer
        chinese-wav2vec2-base/   config.json, preprocessor_config.json, model.safetensors
        MeiGen-MultiTalk/        multitalk.safetensors and the merged index

File names, tensor names and formats are the official ones, only the sizes are small (about 2 MB) and the numbers come
from `weights_rule`. The three directories are as their repositories have them: nothing is linked from one into another.
Videos made from it show noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from inference.engine.checkpoint.streaming import Source
from inference.engine.dit.config import AudioProjectorConfig, DitConfig
from inference.engine.dit.model import MultiTalkDiT
from inference.engine.encoders.clip import HEADS, clip_source
from inference.engine.encoders.text import text_source
from inference.engine.encoders.vae import vae_source
from inference.engine.encoders.voice_names import CONV_STRIDES, PREFIX, Wav2VecConfig
from inference.engine.encoders.wav2vec import VoiceEncoder
from inference.engine.geometry import KEY as GEOMETRY_KEY
from inference.tiny_tokenizer import tiny_tokenizer
from inference.weights_rule import rule_weight

BASE, WAV2VEC, AUDIO = "Wan2.1-I2V-14B-480P", "chinese-wav2vec2-base", "MeiGen-MultiTalk"
SALT = "multitalk-tiny"
KERNELS = (10, 3, 3, 3, 3, 2, 2)
INDEX = "diffusion_pytorch_model.safetensors.index.json"
AUDIO_PARTS = ("audio_proj.", ".audio_cross_attn.", ".norm_x.")

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TinySizes:
    """What may differ between tiny checkpoints."""

    dim: int = 64
    heads: int = 2
    layers: int = 2
    shards: int = 3
    frame_num: int = 9
    motion_frames: int = 5
    scale: float = 0.1
    salt: str = SALT

    @property
    def voice_dim(self) -> int:
        """Width of the voice encoder."""
        return 32

    @property
    def voice_layers(self) -> int:
        """Layers of the voice encoder."""
        return 3


def write_tiny(folder: Path, sizes: TinySizes | None = None) -> Path:
    """Write the three model directories below `folder`; the same sizes always give the same bytes of weights."""
    sizes = sizes or TinySizes()
    for name in (BASE, WAV2VEC, AUDIO):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_transformer(folder, sizes)
    _write_encoders(folder / BASE, sizes)
    _write_voice(folder / WAV2VEC, sizes)
    return folder


def _write_transformer(folder: Path, sizes: TinySizes) -> None:
    config = dit_config(sizes)
    with torch.device("meta"):
        shapes = _shapes(MultiTalkDiT(config), Source)
    audio = {name for name in shapes if any(part in name for part in AUDIO_PARTS)}
    base = sorted(shapes.keys() - audio)
    files: dict[str, list[str]] = {}
    for number, name in enumerate(base):
        shard = 1 + number * sizes.shards // len(base)
        files.setdefault(f"diffusion_pytorch_model-{shard:05d}-of-{sizes.shards:05d}.safetensors", []).append(name)
    for file, names in files.items():
        save_file(_values(sizes, "dit", {name: shapes[name] for name in names}), folder / BASE / file)
    voices = _values(sizes, "dit", {name: shapes[name] for name in sorted(audio)})
    save_file(voices, folder / AUDIO / "multitalk.safetensors")
    weight_map = {name: file for file, names in files.items() for name in names}
    _write_json(folder / BASE / INDEX, {"metadata": {}, "weight_map": weight_map})
    merged = weight_map | dict.fromkeys(sorted(audio), "multitalk.safetensors")
    _write_json(folder / AUDIO / INDEX, {"metadata": {}, "weight_map": merged})
    _write_json(folder / BASE / "config.json", _settings(config, sizes))


def dit_config(sizes: TinySizes) -> DitConfig:
    """Sizes of the tiny transformer."""
    features = sizes.voice_layers * sizes.voice_dim
    return DitConfig(
        in_channels=36, out_channels=16, dim=sizes.dim, ffn_dim=sizes.dim * 2, freq_dim=32, text_dim=32, text_len=32,
        image_dim=32, num_heads=sizes.heads, num_layers=sizes.layers, patch=(1, 2, 2), eps=1e-6,
        audio=AudioProjectorConfig(window=5, features=features, hidden=16, tokens=4, dim=24),
    )  # fmt: skip


def _settings(config: DitConfig, sizes: TinySizes) -> dict[str, object]:
    return {
        "_class_name": "WanModel",
        "model_type": "i2v",
        "dim": config.dim,
        "eps": config.eps,
        "ffn_dim": config.ffn_dim,
        "freq_dim": config.freq_dim,
        "in_dim": config.in_channels,
        "num_heads": config.num_heads,
        "num_layers": config.num_layers,
        "out_dim": config.out_channels,
        "text_len": config.text_len,
        GEOMETRY_KEY: {"frame_num": sizes.frame_num, "motion_frames": sizes.motion_frames, "scale": sizes.scale},
    }


def _write_encoders(folder: Path, sizes: TinySizes) -> None:
    tokenizer = tiny_tokenizer()
    (folder / "google/umt5-xxl").mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "google/umt5-xxl/tokenizer.json"))
    text = _values(sizes, "t5", _text_shapes(tokenizer.get_vocab_size()))
    half = {name: tensor.bfloat16() for name, tensor in text.items()}
    torch.save(half, folder / "models_t5_umt5-xxl-enc-bf16.pth")
    clip = _values(sizes, "clip", _clip_shapes())
    torch.save(clip, folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth")
    torch.save(_values(sizes, "vae", _vae_shapes()), folder / "Wan2.1_VAE.pth")


def _text_shapes(vocabulary: int) -> Shapes:
    config = UMT5Config(vocab_size=vocabulary, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    with torch.device("meta"):
        return _shapes(UMT5EncoderModel(config), text_source)


def _clip_shapes() -> Shapes:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        image_size=224,
        patch_size=14,
    )
    with torch.device("meta"):
        model: nn.Module = CLIPVisionModel(config)
        model = getattr(model, "vision_model", model)
        model.post_layernorm = nn.Identity()
        shapes = _shapes(model, clip_source)
    # What the real file has besides, and an engine must step over: the text tower, the last block, the head.
    last = {name.replace(".0.", ".2.", 1): shape for name, shape in shapes.items() if ".transformer.0." in name}
    return shapes | last | {
        "visual.cls_embedding": (1, 1, 32),
        "visual.pos_embedding": (1, 257, 32),
        "visual.post_norm.weight": (32,),
        "visual.post_norm.bias": (32,),
        "visual.head": (32, 8),
        "textual.token_embedding.weight": (16, 8),
        "log_scale": (),
    }  # fmt: skip


def _vae_shapes() -> Shapes:
    with torch.device("meta"):
        model: Any = AutoencoderKLWan(  # type: ignore[no-untyped-call]
            base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1, attn_scales=[],
            temperal_downsample=[False, True, True],
        )  # fmt: skip
    return _shapes(model, lambda name: vae_source(1, name))


def _write_voice(folder: Path, sizes: TinySizes) -> None:
    channels = 16
    inputs = (1, *[channels] * (len(KERNELS) - 1))
    convolutions = tuple(
        (wide, channels, kernel, stride) for wide, kernel, stride in zip(inputs, KERNELS, CONV_STRIDES, strict=True)
    )
    config = Wav2VecConfig(
        dim=sizes.voice_dim, ffn_dim=64, layers=sizes.voice_layers, heads=4, convolutions=convolutions, conv_bias=False,
        position_kernel=16, position_groups=4, eps=1e-5,
    )  # fmt: skip
    with torch.device("meta"):
        shapes = _shapes(VoiceEncoder(config), lambda name: Source(PREFIX + name))
    # Left-overs of pre-training, as in the real file.
    shapes |= {"quantizer.codevectors": (1, 16, 8), "project_q.weight": (8, 8), f"{PREFIX}masked_spec_embed": (32,)}
    save_file(_values(sizes, "wav2vec2", shapes), folder / "model.safetensors")
    _write_json(
        folder / "config.json",
        {
            "hidden_size": config.dim,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "intermediate_size": config.ffn_dim,
            "conv_dim": [channels] * len(KERNELS),
            "conv_kernel": list(KERNELS),
            "conv_stride": list(CONV_STRIDES),
            "conv_bias": False,
            "feat_extract_norm": "group",
            "do_stable_layer_norm": False,
            "num_conv_pos_embeddings": config.position_kernel,
            "num_conv_pos_embedding_groups": config.position_groups,
        },
    )
    _write_json(folder / "preprocessor_config.json", {"do_normalize": True, "sampling_rate": 16000, "feature_size": 1})


def _shapes(model: nn.Module, name_map: Callable[[str], Source]) -> Shapes:
    shapes: Shapes = {}
    for target, parameter in model.named_parameters():
        source = name_map(target)
        shapes[source.name] = source.stored_shape(tuple(parameter.shape))
    return shapes


def _values(sizes: TinySizes, model: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: rule_weight(sizes.salt, model, name, shape) for name, shape in shapes.items()}


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    """Write a tiny checkpoint where the command line says."""
    parser = argparse.ArgumentParser(description="Write a tiny MultiTalk checkpoint in the official layout.")
    parser.add_argument("folder", type=Path, help="directory that shall hold the three model directories")
    parser.add_argument("--shards", type=int, default=TinySizes().shards, help="files of the transformer (official: 7)")
    options = parser.parse_args()
    folder = write_tiny(options.folder, TinySizes(shards=options.shards))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {BASE}, {WAV2VEC}, {AUDIO}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
