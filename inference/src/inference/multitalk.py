"""What is fixed in the published MultiTalk and InfiniteTalk: directories and files on a volume, and rates.

    Wan2.1-I2V-14B-480P/     config.json, shards and their index, T5, CLIP, VAE, tokenizer
    chinese-wav2vec2-base/   config.json, preprocessor_config.json, model.safetensors or pytorch_model.bin
    MeiGen-MultiTalk/        multitalk.safetensors and the merged index
    InfiniteTalk/            single/infinitetalk.safetensors, multi/infinitetalk.safetensors

Constants alone, so that server, media and engine can share them.
"""

from __future__ import annotations

import re
from enum import StrEnum

BASE, WAV2VEC, AUDIO = "Wan2.1-I2V-14B-480P", "chinese-wav2vec2-base", "MeiGen-MultiTalk"

CONFIG_FILE = "config.json"
SHARD = re.compile(r"diffusion_pytorch_model-(\d{5})-of-(\d{5})\.safetensors")
SINGLE_FILE = "diffusion_pytorch_model.safetensors"
INDEX_FILE = "diffusion_pytorch_model.safetensors.index.json"
TEXT_FILE = "models_t5_umt5-xxl-enc-bf16.pth"
TOKENIZER_FILE = "google/umt5-xxl/tokenizer.json"
CLIP_FILE = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
VAE_FILE = "Wan2.1_VAE.pth"
VOICE_FILE, VOICE_PICKLE = "model.safetensors", "pytorch_model.bin"
VOICE_PREPROCESSOR_FILE = "preprocessor_config.json"

PREPARED_FORMAT = 1
"""Of the files of a prepared copy: their names, order and headers. Raise it when one of these changes."""

SAMPLE_RATE = 16_000
FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


class Variant(StrEnum):
    """Which of the two models the audio layers belong to.

    Both have the same tensors, by name and shape, so the name of the file decides.
    """

    MULTITALK = "multitalk"
    INFINITETALK = "infinitetalk"

    @property
    def audio_file(self) -> str:
        """Name of the file with the audio layers."""
        return f"{self}.safetensors"

    @property
    def motion_frames(self) -> int:
        """Frames that a window takes over from the one before, by default."""
        return 25 if self is Variant.MULTITALK else 9


def shard_file(number: int, total: int) -> str:
    """Name of a shard of the transformer; the first is number 1."""
    return f"diffusion_pytorch_model-{number:05d}-of-{total:05d}.safetensors"
