"""The official names and shapes of MultiTalk's tensors, for networks of any size.

The modules of the engine are asked for their parameters, and these go by the names that the checkpoints have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from inference.engine.checkpoint.streaming import Source
from inference.engine.dit.config import DitConfig
from inference.engine.dit.model import MultiTalkDiT
from inference.engine.encoders.clip import clip_source
from inference.engine.encoders.text import text_source
from inference.engine.encoders.vae import vae_source
from inference.engine.encoders.wav2vec import VoiceEncoder
from inference.engine.encoders.wav2vec_keys import PREFIX, Wav2VecConfig

AUDIO_PARTS = ("audio_proj.", ".audio_cross_attn.", ".norm_x.")

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class VaeShape:
    """Sizes of the video autoencoder."""

    base_dim: int
    multipliers: tuple[int, ...]
    residual_blocks: int


def dit_shapes(config: DitConfig) -> tuple[Shapes, Shapes]:
    """Tensors of the transformer: those of the base model, and the audio layers, which have a file of their own."""
    with torch.device("meta"):
        shapes = _shapes(MultiTalkDiT(config), Source)
    audio = sorted(name for name in shapes if any(part in name for part in AUDIO_PARTS))
    base = sorted(shapes.keys() - set(audio))
    return {name: shapes[name] for name in base}, {name: shapes[name] for name in audio}


def text_shapes(config: UMT5Config) -> Shapes:
    """Tensors of the prompt encoder's file."""
    with torch.device("meta"):
        return _shapes(UMT5EncoderModel(config), text_source)


def clip_shapes(config: CLIPVisionConfig) -> Shapes:
    """Tensors of the picture encoder's file; `config` has the blocks whose output is used, the file one more."""
    with torch.device("meta"):
        model: nn.Module = CLIPVisionModel(config)
        model = getattr(model, "vision_model", model)
        model.post_layernorm = nn.Identity()
        shapes = _shapes(model, clip_source)
    # What the real file has besides, and an engine must step over: the text tower, the last block, the head.
    count, dim = config.num_hidden_layers, config.hidden_size
    patches = shapes["visual.pos_embedding"][0]
    last = {name.replace(".0.", f".{count}.", 1): shape for name, shape in shapes.items() if ".transformer.0." in name}
    return shapes | last | {
        "visual.cls_embedding": (1, 1, dim),
        "visual.pos_embedding": (1, patches, dim),
        "visual.post_norm.weight": (dim,),
        "visual.post_norm.bias": (dim,),
        "visual.head": (dim, 8),
        "textual.token_embedding.weight": (16, 8),
        "log_scale": (),
    }  # fmt: skip


def vae_shapes(shape: VaeShape) -> Shapes:
    """Tensors of the video autoencoder's file."""
    with torch.device("meta"):
        model: Any = AutoencoderKLWan(  # type: ignore[no-untyped-call]
            base_dim=shape.base_dim, z_dim=16, dim_mult=list(shape.multipliers), num_res_blocks=shape.residual_blocks,
            attn_scales=[], temperal_downsample=[False, True, True],
        )  # fmt: skip
    return _shapes(model, lambda name: vae_source(shape.residual_blocks, name))


def voice_shapes(config: Wav2VecConfig) -> Shapes:
    """Tensors of the voice encoder's file."""
    with torch.device("meta"):
        shapes = _shapes(VoiceEncoder(config), lambda name: Source(PREFIX + name))
    # Left-overs of pre-training, as in the real file.
    left_over = {
        "quantizer.codevectors": (1, 16, 8),
        "project_q.weight": (8, 8),
        f"{PREFIX}masked_spec_embed": (config.dim,),
    }
    return shapes | left_over


def convolutions(
    channels: int, kernels: Iterable[int], strides: Iterable[int]
) -> tuple[tuple[int, int, int, int], ...]:
    """Join a voice encoder's convolutions: input channels, output channels, kernel and stride of each."""
    pairs = zip(kernels, strides, strict=True)
    return tuple((channels if number else 1, channels, *pair) for number, pair in enumerate(pairs))


def _shapes(model: nn.Module, name_map: Callable[[str], Source]) -> Shapes:
    shapes: Shapes = {}
    for target, parameter in model.named_parameters():
        source = name_map(target)
        shapes[source.name] = source.stored_shape(tuple(parameter.shape))
    return shapes
