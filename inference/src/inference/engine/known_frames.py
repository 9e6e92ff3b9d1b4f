"""The frames of a window that are known before it is sampled, as the transformer sees them: latents and a mask."""

from __future__ import annotations

import torch
from torch import Tensor

from inference.engine.encoders.vae import SPACE_STRIDE, TIME_STRIDE, VideoAutoencoder

MASK_CHANNELS = TIME_STRIDE
"""One per video frame of a latent frame; they come before the latents in a window's condition."""


def latent_frames(frames: int) -> int:
    """Latent frames that stand for `frames` video frames."""
    return 1 + (frames - 1) // TIME_STRIDE


def encode_known(vae: VideoAutoencoder, known: Tensor, frame_num: int) -> Tensor:
    """Encode known frames, the rest of the window empty, and put the mask of what is known before it.

    The result is `[4 + channels, T, h, w]`; the four mask channels are the four video frames of a latent frame, the
    first of which stands for all four in the first.
    """
    channels, count, height, width = known.shape
    empty = known.new_zeros(channels, frame_num - count, height, width)
    latents = vae.encode(torch.cat((known, empty), dim=1))
    return torch.cat((known_mask(count, frame_num, latents), latents))


def known_mask(count: int, frame_num: int, latents: Tensor) -> Tensor:
    """Mark known frames, `[4, T, h, w]`."""
    per_frame = (torch.arange(frame_num, device=latents.device) < count).float()
    slots = torch.cat((per_frame[:1].repeat(TIME_STRIDE), per_frame[1:])).reshape(-1, TIME_STRIDE)
    return slots.T[:, :, None, None].expand(-1, -1, *latents.shape[-2:])


def latent_size(height: int, width: int) -> tuple[int, int]:
    """Latent rows and columns of a picture."""
    return height // SPACE_STRIDE, width // SPACE_STRIDE
