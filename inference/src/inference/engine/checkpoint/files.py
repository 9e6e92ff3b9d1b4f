"""The files of MultiTalk or InfiniteTalk on the volume, found by their official names.

    BASE/config.json  diffusion_pytorch_model-00001-of-0000N.safetensors ...  Wan2.1_VAE.pth
         models_t5_umt5-xxl-enc-bf16.pth  models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth
         google/umt5-xxl/tokenizer.json
    WAV2VEC/config.json  model.safetensors (or pytorch_model.bin)
    AUDIO/multitalk.safetensors or infinitetalk.safetensors (or the same file, linked or copied, in BASE)

No index.json is needed: the shards and the file of audio layers say in their headers what they hold. If BASE has one
that differs, `check_index` reports it; a loader that trusts such an index leaves the audio layers random.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference import multitalk
from inference.engine.checkpoint.other_layouts import unusable
from inference.engine.errors import CheckpointError
from inference.multitalk import Variant


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Every file that the engine reads."""

    variant: Variant

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

    @property
    def transformer(self) -> tuple[Path, ...]:
        """All files that hold tensors of it."""
        return (*self.shards, self.audio_layers)


def find_files(volume: Path, base: str, wav2vec: str, audio: str) -> ModelFiles:
    """Look for all files; what is missing is named in one error."""
    root, voice, layers = volume / base, volume / wav2vec, volume / audio
    missing: list[str] = []

    def first(*candidates: Path) -> Path:
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            missing.append(" or ".join(str(path.relative_to(volume)) for path in candidates))
        return found or candidates[0]

    config, shards = first(root / multitalk.CONFIG_FILE), _find_shards(root, volume, missing)
    # A folder of something else must not lead to other weights beside the base model.
    folders = (layers,) if unusable(layers) else (layers, root)
    audio_layers = first(*(folder / each.audio_file for folder in folders for each in Variant))
    files = ModelFiles(
        variant=Variant(audio_layers.stem),
        config=config,
        shards=shards,
        audio_layers=audio_layers,
        index=_optional(root / multitalk.INDEX_FILE),
        text=first(root / multitalk.TEXT_FILE),
        tokenizer=first(root / multitalk.TOKENIZER_FILE),
        clip=first(root / multitalk.CLIP_FILE),
        vae=first(root / multitalk.VAE_FILE),
        wav2vec_config=first(voice / multitalk.CONFIG_FILE),
        wav2vec=first(voice / multitalk.VOICE_FILE, voice / multitalk.VOICE_PICKLE),
    )
    if missing:
        found = "".join(f". {folder.name} holds {hint}" for folder in (root, layers) if (hint := unusable(folder)))
        raise CheckpointError(
            f"looking for the model files in {volume}: missing {', '.join(missing)}{found or '. Sync the volume'}"
        )
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
    matches = [match for path in root.glob("*.safetensors") if (match := multitalk.SHARD.fullmatch(path.name))]
    if not matches:
        single = root / multitalk.SINGLE_FILE
        if single.is_file():
            return (single,)
        missing.append(str(single.relative_to(volume)).replace(".safetensors", "-*-of-*.safetensors"))
        return ()
    totals = {match[2] for match in matches}
    if len(totals) > 1:
        raise CheckpointError(f"looking for shards in {root}: shards of {len(totals)} different sets are mixed")
    total = totals.pop()
    expected = [multitalk.shard_file(number, int(total)) for number in range(1, int(total) + 1)]
    missing.extend(str((root / name).relative_to(volume)) for name in expected if not (root / name).is_file())
    return tuple(root / name for name in expected)
