"""How a window continues what was made before it. This is what sets the two variants of the model apart.

- MultiTalk is shown the frames that the window before ended with, the picture in the first window. Their latents are
  fixed: at each step they are the frames noised to its time.
- InfiniteTalk is shown one frame of the source, that of the window's start, so that a dubbed clip keeps its movement
  and a picture its face. The frames that the window before ended with come in as fixed latents alone, without noise; in
  the first window it is the latent of the shown frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from inference.engine.encoders.vae import VideoAutoencoder
from inference.engine.known_frames import MASK_CHANNELS, encode_known, latent_frames
from inference.multitalk import Variant


@dataclass(frozen=True, slots=True)
class Opening:
    """What a window starts from."""

    shown: Tensor
    """The frames that the transformer is shown, `[3, n, H, W]` in -1..1; the picture encoder sees the last of them."""
    condition: Tensor
    """Mask and latents of these frames, `[4 + channels, T, h, w]`."""
    known: Tensor | None
    """Latents of the first frames of the window, `[channels, t, h, w]`, which are not sampled."""
    noised: bool
    """Whether `known` is noised to the time of each step; else it stays as it is."""


Continue = Callable[[VideoAutoencoder, int, Tensor, Tensor | None], Opening]
"""From the autoencoder, frames of a window, the source's frame at its start `[3, 1, H, W]`, and the last frames made
`[3, n, H, W]` (None in the first window)."""


def continue_multitalk(vae: VideoAutoencoder, frame_num: int, source: Tensor, made: Tensor | None) -> Opening:
    """Show the frames made last, the source in the first window."""
    shown = source if made is None else made
    condition = encode_known(vae, shown, frame_num)
    known = None if made is None else condition[MASK_CHANNELS:, : latent_frames(made.shape[1])]
    return Opening(shown, condition, known, noised=True)


def continue_infinitetalk(vae: VideoAutoencoder, frame_num: int, source: Tensor, made: Tensor | None) -> Opening:
    """Show the source's frame; continue the frames made last by their latents."""
    condition = encode_known(vae, source, frame_num)
    return Opening(source, condition, vae.encode(source if made is None else made), noised=False)


CONTINUATIONS: dict[Variant, Continue] = {
    Variant.MULTITALK: continue_multitalk,
    Variant.INFINITETALK: continue_infinitetalk,
}
