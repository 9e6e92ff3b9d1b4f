"""Who speaks where: the label rotary embedding that ties each of two voices to one person in the picture.

Every query token attends to the tokens of the first latent frame; the share of its attention that falls on person 1,
person 2 and the background says to whom it belongs. Its class, and how clearly it belongs, become a position on a line:
person 1 on 0..4, person 2 on 20..24, background 12. The keys of the two voices sit at 2 and 22 on that line, so a token
hears the voice that is near.

With one person none of this is needed, and none is computed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from inference.engine.dit.rotary import line_rotary

CLASS_RANGE = 24.0
CLASS_INTERVAL = 4.0
HEADS_AT_ONCE = 8
"""Heads whose attention is held at one time; bounds memory at full size to about 0.1 GB."""


class SpeakerMap(nn.Module):
    """Mean attention of every token to each region of the first frame."""

    def forward(self, query: Tensor, first_frame_key: Tensor, masks: Tensor) -> Tensor:
        """Map queries, the first frame's keys and masks `[regions, tokens per frame]` to `[B, regions, tokens]`.

        The regions ride through attention as values, so the tokens x tokens matrix never exists.
        """
        regions, heads, head_dim = masks.shape[0], query.shape[2], query.shape[3]
        # Ones and zeros are exact in any type; the sums over a region become means afterwards, in float32.
        inside = F.pad(masks.T.to(query.dtype), (0, max(0, head_dim - regions)))[None, None]
        total: Tensor | None = None
        for start in range(0, heads, HEADS_AT_ONCE):
            some = slice(start, min(start + HEADS_AT_ONCE, heads))
            q, k = query[:, :, some].transpose(1, 2), first_frame_key[:, :, some].transpose(1, 2)
            out = F.scaled_dot_product_attention(q, k, inside.expand(*k.shape[:2], -1, -1))
            part = out[..., :regions].float().sum(1)
            total = part if total is None else total + part
        assert total is not None
        sizes = masks.float().sum(-1).clamp(min=1)
        return (total / (heads * sizes)).transpose(1, 2)


class LabelPositions(nn.Module):
    """Turn a speaker map into a position on the line of labels for every token."""

    def forward(self, speaker_map: Tensor) -> Tensor:
        """Map `[B, 3, tokens]` (person 1, person 2, background) to positions `[B, tokens]`."""
        low, high = speaker_map.aminmax(dim=-1, keepdim=True)
        spread = (speaker_map - low) / (high - low) * CLASS_INTERVAL
        places = torch.stack(
            (
                spread[:, 0],
                spread[:, 1] + (CLASS_RANGE - CLASS_INTERVAL),
                torch.full_like(spread[:, 2], CLASS_RANGE / 2),
            ),
            dim=1,
        )
        label = speaker_map.argmax(dim=1, keepdim=True)
        return places.gather(1, label).squeeze(1)


class LabelRotary(nn.Module):
    """Rotate queries or keys by their positions on the line of labels."""

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Turn `[B, tokens, H, D]` by `positions` `[B, tokens]` or `[tokens]`."""
        return line_rotary(positions, x.shape[-1]).rotate(x)


def key_positions(tokens_per_person: int, device: torch.device) -> Tensor:
    """Positions of the audio tokens of one latent frame: the middle of each person's range."""
    middle = CLASS_INTERVAL / 2
    places = (middle, CLASS_RANGE - middle)
    return torch.cat([torch.full((tokens_per_person,), place, device=device) for place in places])
