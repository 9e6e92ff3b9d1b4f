"""A tiny MultiTalk in the official layout, for tests and demonstrations: `python -m inference.tiny DIR`.

File names, tensor names and formats are the official ones (`layout`), only the sizes are small (about 2 MB) and the
numbers come from `weights_rule`. The three directories are as their repositories have them: nothing is linked from one
into another. Videos made from it show noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, UMT5Config

from inference import layout
from inference.engine.dit.config import AudioProjectorConfig, DitConfig
from inference.engine.encoders.clip import HEADS
from inference.engine.encoders.voice_names import CONV_STRIDES, Wav2VecConfig
from inference.engine.geometry import KEY as GEOMETRY_KEY
from inference.layout import AUDIO, BASE, INDEX, WAV2VEC
from inference.tiny_tokenizer import tiny_tokenizer
from inference.weights_rule import rule_weight

SALT = "multitalk-tiny"
KERNELS = (10, 3, 3, 3, 3, 2, 2)


@dataclass(frozen=True, slots=True)
class TinySizes:
    """What may differ between tiny checkpoints."""

    dim: int = 64
    heads: int = 2
    layers: int = 2
    shards: int = 3
    frame_num: int = 9
    motion_frames: int = 5
    scale: float = 0.1
    salt: str = SALT

    @property
    def voice_dim(self) -> int:
        """Width of the voice encoder."""
        return 32

    @property
    def voice_layers(self) -> int:
        """Layers of the voice encoder."""
        return 3


def write_tiny(folder: Path, sizes: TinySizes | None = None) -> Path:
    """Write the three model directories below `folder`; the same sizes always give the same bytes of weights."""
    sizes = sizes or TinySizes()
    for name in (BASE, WAV2VEC, AUDIO):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_transformer(folder, sizes)
    _write_encoders(folder / BASE, sizes)
    _write_voice(folder / WAV2VEC, sizes)
    return folder


def _write_transformer(folder: Path, sizes: TinySizes) -> None:
    config = dit_config(sizes)
    files = layout.dit_files(config, sizes.shards)
    for file, shapes in files.items():
        save_file(_values(sizes, "dit", shapes), folder / (AUDIO if file == layout.AUDIO_FILE else BASE) / file)
    shards = {file: shapes for file, shapes in files.items() if file != layout.AUDIO_FILE}
    _write_json(folder / BASE / INDEX, layout.index(shards))
    _write_json(folder / AUDIO / INDEX, layout.index(files))
    geometry = {"frame_num": sizes.frame_num, "motion_frames": sizes.motion_frames, "scale": sizes.scale}
    _write_json(folder / BASE / "config.json", layout.dit_settings(config) | {GEOMETRY_KEY: geometry})


def dit_config(sizes: TinySizes) -> DitConfig:
    """Sizes of the tiny transformer."""
    features = sizes.voice_layers * sizes.voice_dim
    return DitConfig(
        in_channels=36, out_channels=16, dim=sizes.dim, ffn_dim=sizes.dim * 2, freq_dim=32, text_dim=32, text_len=32,
        image_dim=32, num_heads=sizes.heads, num_layers=sizes.layers, patch=(1, 2, 2), eps=1e-6,
        audio=AudioProjectorConfig(window=5, features=features, hidden=16, tokens=4, dim=24),
    )  # fmt: skip


def _write_encoders(folder: Path, sizes: TinySizes) -> None:
    tokenizer = tiny_tokenizer()
    (folder / layout.TOKENIZER_FILE).parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / layout.TOKENIZER_FILE))
    words = tokenizer.get_vocab_size()
    text = UMT5Config(vocab_size=words, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    half = {name: tensor.bfloat16() for name, tensor in _values(sizes, "t5", layout.text_shapes(text)).items()}
    torch.save(half, folder / layout.TEXT_FILE)
    clip = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=HEADS, image_size=224,
        patch_size=14,
    )  # fmt: skip
    torch.save(_values(sizes, "clip", layout.clip_shapes(clip)), folder / layout.CLIP_FILE)
    vae = layout.VaeShape(base_dim=8, multipliers=(1, 2, 2, 2), residual_blocks=1)
    torch.save(_values(sizes, "vae", layout.vae_shapes(vae)), folder / layout.VAE_FILE)


def _write_voice(folder: Path, sizes: TinySizes) -> None:
    config = Wav2VecConfig(
        dim=sizes.voice_dim, ffn_dim=64, layers=sizes.voice_layers, heads=4,
        convolutions=layout.convolutions(16, KERNELS, CONV_STRIDES), conv_bias=False, position_kernel=16,
        position_groups=4, eps=1e-5,
    )  # fmt: skip
    save_file(_values(sizes, "wav2vec2", layout.voice_shapes(config)), folder / layout.VOICE_FILE)
    _write_json(folder / "config.json", layout.voice_settings(config))
    _write_json(folder / "preprocessor_config.json", layout.VOICE_PREPROCESSOR)


def _values(sizes: TinySizes, model: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: rule_weight(sizes.salt, model, name, shape) for name, shape in shapes.items()}


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    """Write a tiny checkpoint where the command line says."""
    parser = argparse.ArgumentParser(description="Write a tiny MultiTalk checkpoint in the official layout.")
    parser.add_argument("folder", type=Path, help="directory that shall hold the three model directories")
    parser.add_argument("--shards", type=int, default=TinySizes().shards, help="files of the transformer (official: 7)")
    options = parser.parse_args()
    folder = write_tiny(options.folder, TinySizes(shards=options.shards))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {BASE}, {WAV2VEC}, {AUDIO}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
