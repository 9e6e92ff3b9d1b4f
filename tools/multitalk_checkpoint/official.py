"""Sizes of the published networks; the engine reads them off the checkpoint instead.

Sources: the configurations of Wan2.1-I2V-14B, MultiTalk, umT5-xxl, CLIP ViT-H/14 and wav2vec2 base as published.
"""

from __future__ import annotations

from transformers import CLIPVisionConfig, UMT5Config

from inference.engine.dit.config import AudioProjectorConfig, DitConfig
from inference.engine.encoders.clip import HEADS
from inference.engine.encoders.wav2vec_keys import CONV_STRIDES, Wav2VecConfig
from multitalk_checkpoint.layout import Networks
from multitalk_checkpoint.shapes import VaeShape, convolutions

VOICE = Wav2VecConfig(
    dim=768, ffn_dim=3072, layers=12, heads=12,
    convolutions=convolutions(512, (10, 3, 3, 3, 3, 2, 2), CONV_STRIDES), conv_bias=False, position_kernel=128,
    position_groups=16, eps=1e-5,
)  # fmt: skip
DIT = DitConfig(
    in_channels=36, out_channels=16, dim=5120, ffn_dim=13824, freq_dim=256, text_dim=4096, text_len=512,
    image_dim=1280, num_heads=40, num_layers=40, patch=(1, 2, 2), eps=1e-6,
    audio=AudioProjectorConfig(window=5, features=VOICE.layers * VOICE.dim, hidden=512, tokens=32, dim=768),
)  # fmt: skip
VAE = VaeShape(base_dim=96, multipliers=(1, 2, 4, 4), residual_blocks=2)


def networks() -> Networks:
    """Sizes of all networks."""
    return Networks(DIT, text_config(), clip_config(), VAE, VOICE)


def text_config() -> UMT5Config:
    """Sizes of umT5-xxl's encoder."""
    return UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)


def clip_config() -> CLIPVisionConfig:
    """Sizes of ViT-H/14, without the last of its 32 blocks."""
    return CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=31, num_attention_heads=HEADS, image_size=224,
        patch_size=14,
    )  # fmt: skip
