"""Audio in the transformer: the projector from voice features to tokens, and the attention that hears them.

Features come as `[people, video frames, window, layers, channels]`: for each video frame the features of the frames
around it. The first latent frame stands for one video frame, each later one for four; of these four windows only the
parts that do not repeat are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inference.engine.dit.config import FRAMES_PER_LATENT, AudioProjectorConfig
from inference.engine.dit.layers import attend
from inference.engine.dit.parallel import ALONE, TokenShards
from inference.engine.dit.speakers import LabelPositions, LabelRotary, key_positions

AUDIO_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class Voices:
    """Audio tokens of a batch: first the samples that hear two people, then those that hear one (or silence).

    Each is `[samples, latent frames, tokens, dim]`, two people one after the other on the token axis.
    """

    pair: Tensor | None
    single: Tensor | None

    @property
    def pairs(self) -> int:
        """How many samples, at the front of the batch, hear two people."""
        return 0 if self.pair is None else self.pair.shape[0]


class AudioProjector(nn.Module):
    """Three linear layers from windows of voice features to a few tokens per latent frame."""

    def __init__(self, config: AudioProjectorConfig) -> None:
        super().__init__()
        self.config = config
        later = config.window + FRAMES_PER_LATENT - 1
        self.proj1 = nn.Linear(config.window * config.features, config.hidden)
        self.proj1_vf = nn.Linear(later * config.features, config.hidden)
        self.proj2 = nn.Linear(config.hidden, config.hidden)
        self.proj3 = nn.Linear(config.hidden, config.tokens * config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=AUDIO_NORM_EPS)

    def forward(self, features: Tensor) -> Tensor:
        """Map features to tokens `[people, latent frames, tokens, dim]`."""
        return self.project(*gather_windows(features.to(self.proj1.weight.dtype)))

    def project(self, first: Tensor, later: Tensor) -> Tensor:
        """Project the windows of the first latent frame and of the later ones."""
        hidden = torch.cat((self.proj1(first.flatten(2)).relu(), self.proj1_vf(later.flatten(2)).relu()), dim=1)
        tokens: Tensor = self.proj3(self.proj2(hidden).relu())
        normed: Tensor = self.norm(torch.unflatten(tokens, -1, (self.config.tokens, self.config.dim)))
        return normed


def gather_windows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Split `[people, 1 + 4n, window, layers, channels]` into the first frame's window and n joined windows."""
    middle = features.shape[2] // 2
    groups = torch.unflatten(features[:, 1:], 1, (-1, FRAMES_PER_LATENT))
    opening = groups[:, :, 0, : middle + 1]
    inner = groups[:, :, 1:-1, middle]
    closing = groups[:, :, -1, middle:]
    return features[:, :1], torch.cat((opening, inner, closing), dim=2)


class AudioCrossAttention(nn.Module):
    """The tokens of each latent frame attend to the audio tokens of that frame."""

    def __init__(self, dim: int, num_heads: int, audio_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_linear = nn.Linear(dim, dim)
        self.kv_linear = nn.Linear(audio_dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.positions = LabelPositions()
        self.query_rotary = LabelRotary()
        self.key_rotary = LabelRotary()

    def forward(
        self, x: Tensor, voices: Voices, speaker_map: Tensor | None, tokens: int, shards: TokenShards = ALONE
    ) -> Tensor:
        """Hear two voices in the first `voices.pairs` samples of the batch, one in the rest; `tokens` of all shards."""
        query = shards.to_heads(torch.unflatten(self.q_linear(x), -1, (self.num_heads, -1)), tokens)
        parts = []
        if voices.pair is not None:
            assert speaker_map is not None
            parts.append(self._hear(query[: voices.pairs], voices.pair, self.positions(speaker_map), shards))
        if voices.single is not None:
            parts.append(self._hear(query[voices.pairs :], voices.single, None, shards))
        heard = parts[0] if len(parts) == 1 else torch.cat(parts)
        out: Tensor = self.proj(shards.to_tokens(heard))
        return out

    def _hear(self, query: Tensor, audio: Tensor, positions: Tensor | None, shards: TokenShards) -> Tensor:
        batch, frames = audio.shape[:2]
        both = torch.unflatten(self.kv_linear(audio), -1, (2, self.num_heads, -1)).unbind(3)
        key, value = (torch.unflatten(shards.own_heads(each.flatten(1, 2)), 1, (frames, -1)) for each in both)
        if positions is not None:
            query = self.query_rotary(query, positions)
            places = key_positions(audio.shape[2] // 2, query.device).repeat(frames)
            key = torch.unflatten(self.key_rotary(key.flatten(1, 2), places), 1, (frames, -1))
        per_frame = torch.unflatten(query, 1, (frames, -1)).flatten(0, 1)
        heard = attend(per_frame, key.flatten(0, 1), value.flatten(0, 1))
        return torch.unflatten(heard, 0, (batch, frames)).flatten(1, 2)
