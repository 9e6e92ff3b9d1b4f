"""A tiny MultiTalk in the official layout, for tests and demonstrations.

File names, tensor names and formats are the official ones, only the sizes are small (about 2 MB) and the numbers follow
from names (`weights`). Videos made from it show noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transformers import CLIPVisionConfig, UMT5Config

from inference.engine.dit.config import AudioProjectorConfig, DitConfig
from inference.engine.encoders.clip import HEADS
from inference.engine.encoders.wav2vec_keys import CONV_STRIDES, Wav2VecConfig
from multitalk_checkpoint.layout import Networks
from multitalk_checkpoint.shapes import VaeShape, convolutions
from multitalk_checkpoint.tokenizer import tiny_tokenizer
from multitalk_checkpoint.weights import rule_weight
from multitalk_checkpoint.writing import write_checkpoint

SALT = "multitalk-tiny"
VOICE = Wav2VecConfig(
    dim=32, ffn_dim=64, layers=3, heads=4, convolutions=convolutions(16, (10, 3, 3, 3, 3, 2, 2), CONV_STRIDES),
    conv_bias=False, position_kernel=16, position_groups=4, eps=1e-5,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TinySizes:
    """What may differ between tiny checkpoints."""

    dim: int = 64
    heads: int = 2
    layers: int = 2
    salt: str = SALT


def write_tiny(folder: Path, sizes: TinySizes | None = None) -> Path:
    """Write the three model directories below `folder`; the same sizes always give the same bytes of weights."""
    sizes = sizes or TinySizes()
    return write_checkpoint(folder, tiny_networks(sizes), partial(rule_weight, sizes.salt))


def tiny_networks(sizes: TinySizes) -> Networks:
    """Sizes of all networks."""
    words = tiny_tokenizer().get_vocab_size()
    return Networks(
        dit=dit_config(sizes),
        text=UMT5Config(vocab_size=words, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4),
        clip=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=HEADS, image_size=224,
            patch_size=14,
        ),
        vae=VaeShape(base_dim=8, multipliers=(1, 2, 2, 2), residual_blocks=1),
        voice=VOICE,
        geometry={"frame_num": 9, "motion_frames": 5, "scale": 0.1},
    )  # fmt: skip


def dit_config(sizes: TinySizes) -> DitConfig:
    """Sizes of the transformer."""
    return DitConfig(
        in_channels=36, out_channels=16, dim=sizes.dim, ffn_dim=sizes.dim * 2, freq_dim=32, text_dim=32, text_len=32,
        image_dim=32, num_heads=sizes.heads, num_layers=sizes.layers, patch=(1, 2, 2), eps=1e-6,
        audio=AudioProjectorConfig(window=5, features=VOICE.layers * VOICE.dim, hidden=16, tokens=4, dim=24),
    )  # fmt: skip
