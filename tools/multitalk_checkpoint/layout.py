"""The official layout of MultiTalk's files, for networks of any size: what each holds, and where it lies.

    DIR/Wan2.1-I2V-14B-480P/     config.json, shards and their index, T5, CLIP, VAE, tokenizer
        chinese-wav2vec2-base/   config.json, preprocessor_config.json, model.safetensors
        MeiGen-MultiTalk/        multitalk.safetensors and the merged index

The three directories are as their repositories have them: nothing is linked from one into another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from transformers import CLIPVisionConfig, UMT5Config

from inference import multitalk
from inference.engine.dit.config import DitConfig
from inference.engine.encoders.wav2vec_keys import Wav2VecConfig
from inference.engine.geometry import KEY as GEOMETRY
from inference.multitalk import AUDIO, BASE, WAV2VEC, Variant
from multitalk_checkpoint.shapes import Shapes, VaeShape, clip_shapes, dit_shapes, text_shapes, vae_shapes, voice_shapes


@dataclass(frozen=True, slots=True)
class Networks:
    """Sizes of all networks of a checkpoint."""

    dit: DitConfig
    text: UMT5Config
    clip: CLIPVisionConfig
    vae: VaeShape
    voice: Wav2VecConfig
    shards: int = 7
    dit_dtype: torch.dtype = torch.float32
    geometry: Mapping[str, object] | None = None
    """Entry of config.json for a model whose windows differ from the published one's."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of tensors; ``model`` is the part of MultiTalk that it belongs to."""

    path: str
    model: str
    shapes: Shapes
    dtype: torch.dtype = torch.float32


def weight_files(networks: Networks) -> list[WeightFile]:
    """Every file of tensors."""
    base, audio = dit_shapes(networks.dit)
    return [
        *(
            WeightFile(f"{BASE}/{name}", "dit", shapes, networks.dit_dtype)
            for name, shapes in _sharded(base, networks.shards).items()
        ),
        WeightFile(f"{AUDIO}/{Variant.MULTITALK.audio_file}", "dit", audio, networks.dit_dtype),
        WeightFile(f"{BASE}/{multitalk.TEXT_FILE}", "t5", text_shapes(networks.text), torch.bfloat16),
        WeightFile(f"{BASE}/{multitalk.CLIP_FILE}", "clip", clip_shapes(networks.clip)),
        WeightFile(f"{BASE}/{multitalk.VAE_FILE}", "vae", vae_shapes(networks.vae)),
        WeightFile(f"{WAV2VEC}/{multitalk.VOICE_FILE}", "wav2vec2", voice_shapes(networks.voice)),
    ]


def json_files(networks: Networks) -> dict[str, Mapping[str, object]]:
    """Every other file but the tokenizer."""
    base, audio = dit_shapes(networks.dit)
    shards = _sharded(base, networks.shards)
    extra = {} if networks.geometry is None else {GEOMETRY: networks.geometry}
    return {
        f"{BASE}/{multitalk.CONFIG_FILE}": _dit_settings(networks.dit) | extra,
        f"{BASE}/{multitalk.INDEX_FILE}": _index(shards),
        f"{AUDIO}/{multitalk.INDEX_FILE}": _index({**shards, Variant.MULTITALK.audio_file: audio}),
        f"{WAV2VEC}/{multitalk.CONFIG_FILE}": _voice_settings(networks.voice),
        f"{WAV2VEC}/{multitalk.VOICE_PREPROCESSOR_FILE}": {
            "do_normalize": True, "sampling_rate": multitalk.SAMPLE_RATE, "feature_size": 1,
        },
    }  # fmt: skip


def _sharded(shapes: Shapes, count: int) -> dict[str, Shapes]:
    files: dict[str, Shapes] = {}
    for number, (name, shape) in enumerate(shapes.items()):
        file = multitalk.shard_file(1 + number * count // len(shapes), count)
        files.setdefault(file, {})[name] = shape
    return files


def _index(files: Mapping[str, Iterable[str]]) -> dict[str, object]:
    return {"metadata": {}, "weight_map": {name: file for file, names in files.items() for name in names}}


def _dit_settings(config: DitConfig) -> dict[str, object]:
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
    }


def _voice_settings(config: Wav2VecConfig) -> dict[str, object]:
    _, channels, kernels, strides = zip(*config.convolutions, strict=True)
    return {
        "hidden_size": config.dim,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn_dim,
        "conv_dim": list(channels),
        "conv_kernel": list(kernels),
        "conv_stride": list(strides),
        "conv_bias": config.conv_bias,
        "feat_extract_norm": "group",
        "do_stable_layer_norm": False,
        "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
    }
