"""One block of the transformer: self-attention, text and image attention, audio attention, feed-forward.

The residual stream is in the model's type; modulation, norms and gating compute in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inference.engine.dit.audio import AudioCrossAttention, Voices
from inference.engine.dit.config import DitConfig
from inference.engine.dit.layers import RMSNorm, attend, gate, modulate
from inference.engine.dit.parallel import ALONE, TokenShards
from inference.engine.dit.rotary import Rotary
from inference.engine.dit.speakers import SpeakerMap


@dataclass(frozen=True, slots=True)
class Guides:
    """Everything that steers the blocks besides time; computed once per window, the same at every step."""

    text: Tensor
    """Projected text `[batch, text_len, dim]`."""
    image: Tensor
    """Projected image tokens `[batch, 257, dim]`."""
    voices: Voices
    masks: Tensor
    """Regions of person 1, person 2 and background on the token grid of one frame, `[3, tokens per frame]`."""
    rotary: Rotary
    shards: TokenShards = ALONE


class SelfAttention(nn.Module):
    """Attention of all video tokens to each other; also says who each token attends to, when two people speak."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        dim = config.dim
        self.num_heads = config.num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q = RMSNorm(dim, config.eps)
        self.norm_k = RMSNorm(dim, config.eps)
        self.speaker_map = SpeakerMap()

    def forward(self, x: Tensor, guides: Guides) -> tuple[Tensor, Tensor | None]:
        """Return the attended tokens, and the speaker map of the samples with two voices."""
        query = guides.rotary.rotate(self._heads(self.norm_q(self.q(x)), guides))
        key = guides.rotary.rotate(self._heads(self.norm_k(self.k(x)), guides))
        out = self.o(guides.shards.to_tokens(attend(query, key, self._heads(self.v(x), guides))))
        pairs = guides.voices.pairs
        if not pairs:
            return out, None
        per_frame = guides.masks.shape[-1]
        seen = self.speaker_map(query[:pairs], key[:pairs, :per_frame], guides.masks) / guides.shards.size
        return out, guides.shards.total(seen)

    def _heads(self, x: Tensor, guides: Guides) -> Tensor:
        return guides.shards.to_heads(torch.unflatten(x, -1, (self.num_heads, -1)), guides.rotary.tokens)


class TextImageAttention(nn.Module):
    """Attention to the prompt and, with keys and values of its own, to the picture; the two are added."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        dim = config.dim
        self.num_heads = config.num_heads
        self.q, self.k, self.v, self.o, self.k_img, self.v_img = (nn.Linear(dim, dim) for _ in range(6))
        self.norm_q = RMSNorm(dim, config.eps)
        self.norm_k = RMSNorm(dim, config.eps)
        self.norm_k_img = RMSNorm(dim, config.eps)

    def forward(self, x: Tensor, text: Tensor, image: Tensor) -> Tensor:
        """Attend to both and project."""
        query = self._heads(self.norm_q(self.q(x)))
        seen = attend(query, self._heads(self.norm_k_img(self.k_img(image))), self._heads(self.v_img(image)))
        told = attend(query, self._heads(self.norm_k(self.k(text))), self._heads(self.v(text)))
        out: Tensor = self.o(told + seen)
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.num_heads, -1))


class Block(nn.Module):
    """One layer of the transformer."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.modulation = nn.Parameter(torch.empty(1, 6, dim))
        self.norm1 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = SelfAttention(config)
        self.norm3 = nn.LayerNorm(dim, eps)
        self.cross_attn = TextImageAttention(config)
        self.norm_x = nn.LayerNorm(dim, eps)
        self.audio_cross_attn = AudioCrossAttention(dim, config.num_heads, config.audio.dim)
        self.norm2 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )

    def forward(self, x: Tensor, time: Tensor, guides: Guides) -> Tensor:
        """Run the layer on `[batch, tokens, dim]`; `time` is the six-way projection `[1, 6, dim]` in float32."""
        e = (self.modulation.float() + time).chunk(6, dim=1)
        attended, speaker_map = self.self_attn(modulate(x, self.norm1, e[0], e[1]), guides)
        x = gate(x, attended, e[2])
        x = x + self.cross_attn(self.norm3(x), guides.text, guides.image)
        tokens, shards = guides.rotary.tokens, guides.shards
        x = x + self.audio_cross_attn(self.norm_x(x), guides.voices, speaker_map, tokens, shards)
        return gate(x, self.ffn(modulate(x, self.norm2, e[3], e[4])), e[5])
