"""The picture's features: CLIP's vision tower without its last block.

The tower is transformers' `CLIPVisionModel`, ViT-H/14 in the official checkpoint; only `visual.*` of that file is used,
and of it neither the last block nor what follows it. Sizes come from the shapes; the number of heads is a constant of
the official model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from inference.engine.checkpoint.store import Shape
from inference.engine.checkpoint.streaming import Source
from inference.engine.dit.config import count_blocks
from inference.engine.errors import CheckpointError

PREFIX = "visual."
HEADS = 16
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
RENAMES = {
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
    "self_attn.out_proj": "attn.proj",
}
PROJECTIONS = {"q_proj": 0, "k_proj": 1, "v_proj": 2}


def build_clip(shapes: Mapping[str, Shape], heads: int = HEADS) -> nn.Module:
    """Make the tower of a checkpoint's sizes, on whatever device is the default now."""
    for name in ("patch_embedding.weight", "pos_embedding", "transformer.0.mlp.0.weight"):
        if PREFIX + name not in shapes:
            raise CheckpointError(f"reading the picture encoder's sizes: tensor {PREFIX}{name} is missing")
    dim, _, patch, _ = shapes[f"{PREFIX}patch_embedding.weight"]
    side = round((shapes[f"{PREFIX}pos_embedding"][-2] - 1) ** 0.5)
    config = CLIPVisionConfig(
        hidden_size=dim,
        intermediate_size=shapes[f"{PREFIX}transformer.0.mlp.0.weight"][0],
        num_hidden_layers=count_blocks(shapes, f"{PREFIX}transformer.") - 1,
        num_attention_heads=heads,
        image_size=side * patch,
        patch_size=patch,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
    )
    model: nn.Module = CLIPVisionModel(config)
    tower: nn.Module = getattr(model, "vision_model", model)  # the first releases of transformers 5 wrap it
    tower.post_layernorm = nn.Identity()  # follows the last block, which is left out
    return tower.eval()


def clip_source(target: str) -> Source:
    """Find the official name of one of the tower's parameters."""
    fixed = {
        "embeddings.class_embedding": Source(f"{PREFIX}cls_embedding", drop_ones=True),
        "embeddings.position_embedding.weight": Source(f"{PREFIX}pos_embedding", drop_ones=True),
        "embeddings.patch_embedding.weight": Source(f"{PREFIX}patch_embedding.weight"),
        "pre_layrnorm.weight": Source(f"{PREFIX}pre_norm.weight"),
        "pre_layrnorm.bias": Source(f"{PREFIX}pre_norm.bias"),
    }
    if target in fixed:
        return fixed[target]
    rest = target.removeprefix("encoder.layers.")
    if match := re.fullmatch(r"(\d+)\.self_attn\.([qkv]_proj)\.(weight|bias)", rest):
        return Source(f"{PREFIX}transformer.{match[1]}.attn.to_qkv.{match[3]}", PROJECTIONS[match[2]], 3)
    for theirs, official in RENAMES.items():
        rest = rest.replace(theirs, official)
    return Source(f"{PREFIX}transformer.{rest}")


def is_unused(shapes: Mapping[str, Shape], name: str) -> bool:
    """Whether the picture's features do not need a tensor of the file."""
    last = f"{PREFIX}transformer.{count_blocks(shapes, f'{PREFIX}transformer.') - 1}."
    after = (last, f"{PREFIX}post_norm.", f"{PREFIX}head")
    return name == "log_scale" or name.startswith(("textual.", *after))


class ClipEncoder:
    """One frame to the features of its patches."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        config: Any = model.config
        self.size = int(config.image_size)

    def prepare(self, image: Tensor) -> Tensor:
        """Resize `[batch, 3, h, w]` in -1..1 to the tower's input, normalised."""
        small = F.interpolate(image.float(), (self.size, self.size), mode="bicubic", align_corners=False)
        mean, std = (torch.tensor(v, device=image.device).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
        return (small * 0.5 + 0.5 - mean) / std

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Tensor:
        """Encode `[batch, 3, h, w]` in -1..1; features `[batch, 1 + patches, dim]`."""
        weight = self.model.embeddings.patch_embedding.weight
        pixels = self.prepare(image.to(weight.device)).to(weight.dtype)
        features: Tensor = self.model(pixel_values=pixels).last_hidden_state
        return features
