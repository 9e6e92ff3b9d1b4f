"""The transformer: embeddings, blocks, head.

A step of sampling needs three things that do not depend on the latent: the time's modulation (`time_conditioning`, for
all steps at once), the projected prompts and picture (`project_text`, `project_image`) and the audio tokens
(`audio_proj`). They are computed once; a step is then `embed`, `run_blocks`, `unembed`, with nothing in it that waits
for the device. Cached residuals (TeaCache) replace `run_blocks`, and are not known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from inference.engine.dit.audio import AudioProjector
from inference.engine.dit.block import Block, Guides
from inference.engine.dit.config import DitConfig
from inference.engine.dit.layers import modulate, wide_linear
from inference.engine.dit.parallel import ALONE, TokenShards

IMAGE_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class TimeConditioning:
    """Modulation by time, one row per step: `head` `[steps, dim]`, `blocks` `[steps, 6, dim]`, float32."""

    head: Tensor
    blocks: Tensor

    def at(self, step: int) -> TimeConditioning:
        """Keep the row of one step."""
        return TimeConditioning(self.head[step : step + 1], self.blocks[step : step + 1])


class ImageEmbedding(nn.Module):
    """Projection of the picture's features to the transformer's width."""

    def __init__(self, image_dim: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(image_dim, IMAGE_NORM_EPS),
            nn.Linear(image_dim, image_dim),
            nn.GELU(),
            nn.Linear(image_dim, dim),
            nn.LayerNorm(dim, IMAGE_NORM_EPS),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Project `[batch, tokens, image_dim]`."""
        out: Tensor = self.proj(features)
        return out


class Head(nn.Module):
    """Last norm and projection to patches, modulated by time, in float32."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        time, rows, columns = config.patch
        self.norm = nn.LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = nn.Linear(config.dim, time * rows * columns * config.out_channels)
        self.modulation = nn.Parameter(torch.empty(1, 2, config.dim))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map tokens to patches; `time` is the time embedding `[1, dim]`."""
        shift, scale = (self.modulation.float() + time.unsqueeze(1)).chunk(2, dim=1)
        return wide_linear(self.head, modulate(x.float(), self.norm, shift, scale))


class MultiTalkDiT(nn.Module):
    """The diffusion transformer, with the official parameter names."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, kernel_size=config.patch, stride=config.patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.img_emb = ImageEmbedding(config.image_dim, dim)
        self.audio_proj = AudioProjector(config.audio)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the residual stream."""
        return self.patch_embedding.weight.dtype

    def grid(self, latent_shape: Sequence[int]) -> tuple[int, int, int]:
        """Token grid (frames, rows, columns) of a latent `[..., T, h, w]`."""
        time, rows, columns = latent_shape[-3:]
        return time // self.config.patch[0], rows // self.config.patch[1], columns // self.config.patch[2]

    def time_conditioning(self, timesteps: Tensor) -> TimeConditioning:
        """Embed any number of timesteps (0 to 1000) at once."""
        half = self.config.freq_dim // 2
        rates = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=timesteps.device) / half)
        angles = torch.outer(timesteps.double(), rates)
        waves = torch.cat((angles.cos(), angles.sin()), dim=1).float()
        embedded = wide_linear(self.time_embedding[2], F.silu(wide_linear(self.time_embedding[0], waves)))
        projected = wide_linear(self.time_projection[1], F.silu(embedded))
        return TimeConditioning(embedded, torch.unflatten(projected, 1, (6, self.config.dim)))

    def project_text(self, contexts: Sequence[Tensor]) -> Tensor:
        """Pad prompts `[length, text_dim]` with zeros to `text_len` and project; `[batch, text_len, dim]`."""
        padded = torch.stack([F.pad(c, (0, 0, 0, self.config.text_len - c.shape[0])) for c in contexts])
        out: Tensor = self.text_embedding(padded.to(self.dtype))
        return out

    def project_image(self, features: Tensor) -> Tensor:
        """Project picture features `[batch, tokens, image_dim]`."""
        out: Tensor = self.img_emb(features.to(self.dtype))
        return out

    def embed(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Cut latent and condition `[batch, channels, T, h, w]` into tokens."""
        joined = torch.cat((latent, condition), dim=1).to(self.dtype)
        # Channels last and contiguous: every block keeps the layout that it is given, and its norms would copy another.
        tokens: Tensor = self.patch_embedding(joined).flatten(2).transpose(1, 2).contiguous()
        return tokens

    def run_blocks(self, tokens: Tensor, time: TimeConditioning, guides: Guides) -> Tensor:
        """Run all layers on the tokens of this process."""
        for block in self.blocks:
            tokens = block(tokens, time.blocks, guides)
        return tokens

    def unembed(
        self, tokens: Tensor, time: TimeConditioning, grid: tuple[int, int, int], shards: TokenShards = ALONE
    ) -> Tensor:
        """Join the tokens of all processes back into a velocity `[batch, out_channels, T, h, w]`, float32."""
        # A patch is far smaller than a token: what is exchanged, and held whole, are patches.
        patches = shards.join(self.head(tokens, time.head), math.prod(grid))
        shaped = torch.unflatten(torch.unflatten(patches, 1, grid), -1, (*self.config.patch, self.config.out_channels))
        # batch, frames, rows, columns, patch time, patch row, patch column, channel
        ordered = shaped.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return _join(ordered)

    def forward(self, latent: Tensor, condition: Tensor, time: TimeConditioning, guides: Guides) -> Tensor:
        """Predict the velocity of `latent`; a whole step without caching."""
        tokens = self.run_blocks(guides.shards.split(self.embed(latent, condition)), time, guides)
        return self.unembed(tokens, time, self.grid(latent.shape), guides.shards)


def _join(ordered: Tensor) -> Tensor:
    batch, channels, frames, time, rows, row, columns, column = ordered.shape
    return ordered.reshape(batch, channels, frames * time, rows * row, columns * column)
