"""The files of MultiTalk on the volume, found by their official names.

    BASE/config.json  diffusion_pytorch_model-00001-of-0000N.safetensors ...  Wan2.1_VAE.pth
         models_t5_umt5-xxl-enc-bf16.pth  models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth
         google/umt5-xxl/tokenizer.json
    WAV2VEC/config.json  model.safetensors (or pytorch_model.bin)
    AUDIO/multitalk.safetensors (or the same file, linked or copied, in BASE)

No index.json is needed: the shards and multitalk.safetensors say in their headers what they hold. If one lies in BASE
and says otherwise, `check_index` tells so; a loader that trusts such an index leaves the audio layers random.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.engine.errors import CheckpointError

INDEX = "diffusion_pytorch_model.safetensors.index.json"
SHARD = re.compile(r"diffusion_pytorch_model-(\d{5})-of-(\d{5})\.safetensors")
SINGLE = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Every file that the engine reads."""

    config: Path
    shards: tuple[Path, ...]
    audio_layers: Path
    index: Path | None
    text: Path
    tokenizer: Path
    clip: Path
    vae: Path
    wav2vec_config: Path
    wav2vec: Path


def find_files(volume: Path, base: str, wav2vec: str, audio: str) -> ModelFiles:
    """Look for all files; what is missing is named in one error."""
    root, voice, layers = volume / base, volume / wav2vec, volume / audio
    missing: list[str] = []

    def first(*candidates: Path) -> Path:
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            missing.append(" or ".join(str(path.relative_to(volume)) for path in candidates))
        return found or candidates[0]

    files = ModelFiles(
        config=first(root / "config.json"),
        shards=_find_shards(root, volume, missing),
        audio_layers=first(layers / "multitalk.safetensors", root / "multitalk.safetensors"),
        index=_optional(root / INDEX),
        text=first(root / "models_t5_umt5-xxl-enc-bf16.pth"),
        tokenizer=first(root / "google/umt5-xxl/tokenizer.json"),
        clip=first(root / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"),
        vae=first(root / "Wan2.1_VAE.pth"),
        wav2vec_config=first(voice / "config.json"),
        wav2vec=first(voice / "model.safetensors", voice / "pytorch_model.bin"),
    )
    if missing:
        raise CheckpointError(f"looking for the model files in {volume}: missing {', '.join(missing)}. Sync the volume")
    return files


def read_settings(path: Path) -> Mapping[str, object]:
    """Read a JSON object such as config.json."""
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise CheckpointError(f"reading {path}: {e}") from e
    if not isinstance(settings, dict):
        raise CheckpointError(f"reading {path}: a JSON object is expected")
    return settings


def check_index(index: Path | None, where: Mapping[str, str]) -> str | None:
    """Compare an index with what the headers say (`where`: tensor name to file name); a sentence if they differ."""
    if index is None:
        return None
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        listed = dict(weight_map)
    except (OSError, ValueError, KeyError, TypeError) as e:
        return f"{index.name} cannot be read ({type(e).__name__}); it is not needed, the file headers are used"
    absent = len(where.keys() - listed.keys())
    surplus = len(listed.keys() - where.keys())
    moved = sum(1 for name, file in listed.items() if name in where and where[name] != file)
    if not (absent or surplus or moved):
        return None
    return (
        f"{index.name} does not describe the files beside it: {absent} tensors not listed, {surplus} listed but "
        f"absent, {moved} listed in another file; it is not needed, the file headers are used"
    )


def _optional(path: Path) -> Path | None:
    return path if path.is_file() else None


def _find_shards(root: Path, volume: Path, missing: list[str]) -> tuple[Path, ...]:
    names = sorted(path.name for path in root.glob("diffusion_pytorch_model-*.safetensors"))
    matches = [match for name in names if (match := SHARD.fullmatch(name))]
    if not matches:
        if (root / SINGLE).is_file():
            return (root / SINGLE,)
        missing.append(str((root / SINGLE).relative_to(volume)).replace(".safetensors", "-*-of-*.safetensors"))
        return ()
    totals = {match[2] for match in matches}
    if len(totals) > 1:
        raise CheckpointError(f"looking for shards in {root}: shards of {len(totals)} different sets lie together")
    total = totals.pop()
    expected = [f"diffusion_pytorch_model-{number:05d}-of-{total}.safetensors" for number in range(1, int(total) + 1)]
    missing.extend(str((root / name).relative_to(volume)) for name in expected if not (root / name).is_file())
    return tuple(root / name for name in expected)
