"""Video to latents and back: Wan's causal 3D autoencoder.

The network is diffusers' `AutoencoderKLWan`; the official names are renamed and its sizes read off the shapes. Latents
are normalised per channel with Wan's constants. Pixels are in -1..1; the decoder clamps to that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn

from inference.engine.checkpoint.store import Shape
from inference.engine.checkpoint.streaming import Source
from inference.engine.errors import CheckpointError

TIME_STRIDE = 4
SPACE_STRIDE = 8
# Per-channel statistics of Wan 2.1's latents, published with the model.
LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip
RESIDUAL = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}


@dataclass(frozen=True, slots=True)
class VaeSizes:
    """Sizes of the autoencoder, as its constructor wants them."""

    dim: int
    channels: int
    multipliers: tuple[int, ...]
    blocks_per_stage: int
    time_strides: tuple[bool, ...]

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, Shape]) -> VaeSizes:
        """Follow the encoder's stages, each some residual blocks and, but for the last, a stride."""
        for name in ("encoder.conv1.weight", "conv2.weight", "encoder.downsamples.0.residual.2.weight"):
            if name not in shapes:
                raise CheckpointError(f"reading the video autoencoder's sizes: tensor {name} is missing")
        dim = shapes["encoder.conv1.weight"][0]
        multipliers, strides, blocks = [], [], 0
        number = 0
        while f"encoder.downsamples.{number}.residual.2.weight" in shapes:
            width = shapes[f"encoder.downsamples.{number}.residual.2.weight"][0]
            blocks += 1
            number += 1
            if (f"encoder.downsamples.{number}.resample.1.weight") in shapes:
                multipliers.append(width // dim)
                strides.append(f"encoder.downsamples.{number}.time_conv.weight" in shapes)
                number += 1
        multipliers.append(width // dim)
        return cls(dim, shapes["conv2.weight"][0], tuple(multipliers), blocks // len(multipliers), tuple(strides))


def build_vae(shapes: Mapping[str, Shape]) -> nn.Module:
    """Make the autoencoder of a checkpoint's sizes, on whatever device is the default now."""
    sizes = VaeSizes.from_shapes(shapes)
    model: Any = AutoencoderKLWan(  # type: ignore[no-untyped-call]
        base_dim=sizes.dim,
        z_dim=sizes.channels,
        dim_mult=list(sizes.multipliers),
        num_res_blocks=sizes.blocks_per_stage,
        attn_scales=[],
        temperal_downsample=list(sizes.time_strides),
    )
    return cast(nn.Module, model.eval())


def vae_source(blocks_per_stage: int, target: str) -> Source:
    """Find the official name of one of the autoencoder's parameters."""
    if target.startswith(("quant_conv.", "post_quant_conv.")):
        return Source(target.replace("post_quant_conv", "conv2").replace("quant_conv", "conv1"))
    side, rest = target.split(".", 1)
    rest = re.sub(r"^conv_in\.", "conv1.", rest)
    rest = re.sub(r"^norm_out\.", "head.0.", rest)
    rest = re.sub(r"^conv_out\.", "head.2.", rest)
    rest = re.sub(r"^down_blocks\.", "downsamples.", rest)
    rest = re.sub(r"^mid_block\.attentions\.0\.", "middle.1.", rest)
    rest = re.sub(r"^mid_block\.resnets\.(\d)\.", lambda m: f"middle.{2 * int(m[1])}.", rest)
    # The decoder's stages have one residual block more than the encoder's, then their upsampler.
    per_stage = blocks_per_stage + 2
    rest = re.sub(
        r"^up_blocks\.(\d+)\.resnets\.(\d+)\.", lambda m: f"upsamples.{int(m[1]) * per_stage + int(m[2])}.", rest
    )
    rest = re.sub(
        r"^up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"upsamples.{(int(m[1]) + 1) * per_stage - 1}.", rest
    )
    if rest.startswith(("downsamples.", "upsamples.", "middle.0.", "middle.2.")):
        rest = re.sub(r"\.(norm1|conv1|norm2|conv2)\.", lambda m: f".{RESIDUAL[m[1]]}.", rest)
        rest = rest.replace(".conv_shortcut.", ".shortcut.")
    return Source(f"{side}.{rest}")


class VideoAutoencoder:
    """Frames to normalised latents and back, one video at a time."""

    def __init__(
        self,
        model: nn.Module,
        mean: tuple[float, ...] = LATENT_MEAN,
        std: tuple[float, ...] = LATENT_STD,
    ) -> None:
        self.model: Any = model
        device = next(model.parameters()).device
        self._mean = torch.tensor(mean, device=device).view(1, -1, 1, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, -1, 1, 1, 1)

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> Tensor:
        """Encode `[3, 1 + 4n, H, W]` to `[channels, 1 + n, H/8, W/8]`."""
        weight = next(self.model.parameters())
        posterior = self.model.encode(frames[None].to(weight.device, weight.dtype)).latent_dist
        latent: Tensor = (posterior.mode() - self._mean) / self._std
        return latent[0].float()

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Tensor:
        """Decode `[channels, 1 + n, h, w]` to `[3, 1 + 4n, 8h, 8w]`."""
        weight = next(self.model.parameters())
        wide = latent[None].to(weight.device).float() * self._std + self._mean
        frames: Tensor = self.model.decode(wide.to(weight.dtype)).sample
        return frames[0].float()
