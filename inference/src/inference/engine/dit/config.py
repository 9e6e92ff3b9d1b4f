"""Sizes of the diffusion transformer, read off the checkpoint itself.

Every size that a shape determines comes from the shapes, so that a checkpoint of any size loads through the same code.
`config.json` is read only for the rest: the number of heads, and optionally `eps` and `text_len`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inference.engine.errors import CheckpointError

Shape = tuple[int, ...]

FRAMES_PER_LATENT = 4
"""Video frames behind every latent frame but the first; fixed by the VAE."""

DEFAULT_TEXT_LEN = 512
DEFAULT_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class AudioProjectorConfig:
    """Sizes of the projector from voice features to audio tokens."""

    window: int
    """Feature frames around a video frame."""
    features: int
    """Numbers per feature frame: layers of the audio encoder times its width."""
    hidden: int
    tokens: int
    dim: int

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, Shape], prefix: str = "") -> AudioProjectorConfig:
        """Read the sizes off the projector's tensors."""
        first = _shape(shapes, f"{prefix}proj1.weight", 2)
        later = _shape(shapes, f"{prefix}proj1_vf.weight", 2)
        dim = _shape(shapes, f"{prefix}norm.weight", 1)[0]
        features = (later[1] - first[1]) // (FRAMES_PER_LATENT - 1)
        if features <= 0 or first[1] % features or later[1] - first[1] != features * (FRAMES_PER_LATENT - 1):
            raise CheckpointError(
                f"reading the audio projector: widths {first[1]} of {prefix}proj1.weight and {later[1]} of "
                f"{prefix}proj1_vf.weight do not differ by {FRAMES_PER_LATENT - 1} feature frames"
            )
        tokens = _shape(shapes, f"{prefix}proj3.weight", 2)[0] // dim
        return cls(window=first[1] // features, features=features, hidden=first[0], tokens=tokens, dim=dim)


@dataclass(frozen=True, slots=True)
class DitConfig:
    """Sizes of the whole transformer."""

    in_channels: int
    out_channels: int
    dim: int
    ffn_dim: int
    freq_dim: int
    text_dim: int
    text_len: int
    image_dim: int
    num_heads: int
    num_layers: int
    patch: tuple[int, int, int]
    eps: float
    audio: AudioProjectorConfig

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads

    @classmethod
    def from_checkpoint(cls, shapes: Mapping[str, Shape], settings: Mapping[str, object]) -> DitConfig:
        """Join the shapes of all tensors with the few settings of `config.json`."""
        dim, in_channels, *patch = _shape(shapes, "patch_embedding.weight", 5)
        num_heads = _number(settings, "num_heads")
        if num_heads < 1 or dim % num_heads or (dim // num_heads) % 2:
            raise CheckpointError(f"reading config.json: num_heads {num_heads} does not divide the width {dim} evenly")
        head_width = _shape(shapes, "head.head.weight", 2)[0]
        return cls(
            in_channels=in_channels,
            out_channels=head_width // (patch[0] * patch[1] * patch[2]),
            dim=dim,
            ffn_dim=_shape(shapes, "blocks.0.ffn.0.weight", 2)[0],
            freq_dim=_shape(shapes, "time_embedding.0.weight", 2)[1],
            text_dim=_shape(shapes, "text_embedding.0.weight", 2)[1],
            text_len=_number(settings, "text_len", DEFAULT_TEXT_LEN),
            image_dim=_shape(shapes, "img_emb.proj.0.weight", 1)[0],
            num_heads=num_heads,
            num_layers=count_blocks(shapes, "blocks."),
            patch=(patch[0], patch[1], patch[2]),
            eps=_fraction(settings, "eps", DEFAULT_EPS),
            audio=AudioProjectorConfig.from_shapes(shapes, "audio_proj."),
        )


def count_blocks(names: Mapping[str, Shape], prefix: str) -> int:
    """Count the numbered blocks under `prefix`; a hole in the numbering shows up later as missing tensors."""
    numbers = {int(name[len(prefix) :].split(".", 1)[0]) for name in names if name.startswith(prefix)}
    return max(numbers) + 1 if numbers else 0


def _shape(shapes: Mapping[str, Shape], name: str, rank: int) -> Shape:
    shape = shapes.get(name)
    if shape is None:
        raise CheckpointError(f"reading the transformer's sizes: tensor {name} is missing")
    if len(shape) != rank:
        raise CheckpointError(
            f"reading the transformer's sizes: tensor {name} has shape {list(shape)}, not rank {rank}"
        )
    return shape


def _number(settings: Mapping[str, object], key: str, default: int | None = None) -> int:
    value = settings.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise CheckpointError(f"reading config.json: {key} must be a whole number, found {value!r}")
    return value


def _fraction(settings: Mapping[str, object], key: str, default: float) -> float:
    value = settings.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise CheckpointError(f"reading config.json: {key} must be a number, found {value!r}")
    return float(value)
