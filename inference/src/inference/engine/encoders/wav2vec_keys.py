"""The voice encoder's checkpoint: sizes read off it, and the spellings of its tensor names.

A checkpoint may be the bare encoder or a pre-training model around it (prefix `wav2vec2.`, and parts that make no
features); the position convolution's weight norm has an old and a new spelling. All of these are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inference.engine.checkpoint.store import Shape
from inference.engine.checkpoint.streaming import Source
from inference.engine.dit.config import count_blocks
from inference.engine.errors import CheckpointError

PREFIX = "wav2vec2."
CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class Wav2VecConfig:
    """Sizes from the shapes, strides and heads from config.json."""

    dim: int
    ffn_dim: int
    layers: int
    heads: int
    convolutions: tuple[tuple[int, int, int, int], ...]
    """Input channels, output channels, kernel and stride of each."""
    conv_bias: bool
    position_kernel: int
    position_groups: int
    eps: float

    @classmethod
    def from_checkpoint(cls, shapes: Mapping[str, Shape], settings: Mapping[str, object]) -> Wav2VecConfig:
        """Join the two; refuse the variants that are not built here."""
        if settings.get("feat_extract_norm", "group") != "group" or settings.get("do_stable_layer_norm", False):
            raise CheckpointError("reading the voice encoder's config.json: only the BASE architecture is supported")
        kernels = _kernels(shapes)
        strides = settings.get("conv_stride", CONV_STRIDES)
        if not isinstance(strides, list | tuple) or len(strides) != len(kernels):
            raise CheckpointError(
                f"reading the voice encoder's config.json: conv_stride must list {len(kernels)} numbers"
            )
        position = _position_kernel(shapes)
        intermediate = shapes.get("encoder.layers.0.feed_forward.intermediate_dense.weight")
        if intermediate is None:
            raise CheckpointError("reading the voice encoder's sizes: encoder.layers.0 is missing")
        heads = settings.get("num_attention_heads", 12)
        if not isinstance(heads, int) or intermediate[1] % heads:
            raise CheckpointError(
                f"reading the voice encoder's config.json: num_attention_heads {heads!r} does not fit"
            )
        return cls(
            dim=intermediate[1],
            ffn_dim=intermediate[0],
            layers=count_blocks(shapes, "encoder.layers."),
            heads=heads,
            convolutions=tuple((k[1], k[0], k[2], int(s)) for k, s in zip(kernels, strides, strict=True)),
            conv_bias="feature_extractor.conv_layers.0.conv.bias" in shapes,
            position_kernel=position[2],
            position_groups=position[0] // position[1],
            eps=float(str(settings.get("layer_norm_eps", NORM_EPS))),
        )


def _kernels(shapes: Mapping[str, Shape]) -> list[Shape]:
    names = (f"feature_extractor.conv_layers.{number}.conv.weight" for number in range(len(shapes)))
    return [shapes[name] for name in names if name in shapes]


def _position_kernel(shapes: Mapping[str, Shape]) -> Shape:
    for name, shape in shapes.items():
        if name.startswith("encoder.pos_conv_embed.") and len(shape) == 3 and shape[0] > 1:
            return shape
    raise CheckpointError("reading the voice encoder's sizes: the kernel of encoder.pos_conv_embed is missing")


def voice_source(stored: Mapping[str, Shape], target: str) -> Source:
    """Find a parameter under any of the spellings that checkpoints use."""
    spelled = [target]
    if target.endswith(("weight_g", "weight_v")):
        number = 0 if target.endswith("weight_g") else 1
        spelled.append(f"{target[: -len('weight_g')]}parametrizations.weight.original{number}")
    candidates = [prefix + name for name in spelled for prefix in (PREFIX, "")]
    return Source(next((name for name in candidates if name in stored), candidates[0]))


def strip_prefix(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Drop the prefix that a pre-training checkpoint puts before the encoder's names."""
    return {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}


def is_unused(name: str) -> bool:
    """Whether a tensor belongs to pre-training and makes no features."""
    bare = name.removeprefix(PREFIX)
    return bare == "masked_spec_embed" or bare.startswith(("quantizer.", "project_hid.", "project_q.", "lm_head."))
