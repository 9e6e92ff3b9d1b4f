"""Runs of everything without weights but with pictures and sound, and of LoRA."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from inference.engine.audio_tracks import TARGET_LUFS, measure_lufs, normalize_loudness, on_time_line
from inference.engine.checkpoint.lora import Lora, merge_all
from inference.engine.known_frames import latent_size
from inference.engine.video.buckets import nearest_size
from inference.engine.video.colour import match_colours
from inference.engine.video.frames import resize_crop, to_uint8
from inference.engine.video.regions import MARGIN, latent_masks, whole_picture
from inference.generation import Box, LoraFile, VoiceInfo
from inference.media.limits import DEFAULT_LIMITS
from inference.media.timing import time_voices
from inference_engine.parity.golden import Case
from inference_engine.parity.modules import Outputs


def buckets(case: Case) -> Outputs:
    rows = []
    for c in case.args["cases"]:
        target = nearest_size(c["height"], c["width"], c["size"])
        assert target == (c["target_height"], c["target_width"])
        rows.append([c["width"], c["height"], int(c["size"].rsplit("-", 1)[1]), *target])
    return {"table": torch.tensor(rows)}


def resize_crop_case(case: Case) -> Outputs:
    outputs = {}
    assert case.args["scale"] == "targets are [height,width]"
    for number, (height, width) in enumerate(case.args["targets"]):
        image = Image.fromarray(case.stored(f"image.{number}").to(torch.uint8).numpy())
        outputs[f"crop.{number}"] = torch.from_numpy(resize_crop(image, height, width)).permute(2, 0, 1)
    return outputs


def masks(case: Case) -> Outputs:
    outputs = {}
    for number, c in enumerate(case.args["cases"]):
        source = (c["source_height"], c["source_width"])
        outputs[f"mask.{number}"] = masks_of(c["people"], c["bbox"], source, tuple(c["target"]))
    assert case.args["face_scale"] == MARGIN
    return outputs


def masks_of(
    people: int, boxes: Mapping[str, list[float]] | None, source: tuple[int, int], target: tuple[int, int]
) -> Tensor:
    """Masks as the official code draws them: one person has the whole picture, box or not."""
    latent = latent_size(*target)
    if people == 1:
        return whole_picture(latent)
    pair = (Box(*boxes["person1"]), Box(*boxes["person2"])) if boxes else None
    return latent_masks(source, target, latent, pair)


def audio_mix(case: Case) -> Outputs:
    names = [key.removeprefix("in.") for key in case.file if key.startswith("in.")]
    raw = {name: case.stored(name).numpy() for name in names}
    rate = case.args["sample_rate"]
    assert case.args["target_lufs"] == TARGET_LUFS
    loud = {name: normalize_loudness(wave, rate) for name, wave in raw.items()}
    outputs = {f"loud.{name}": torch.from_numpy(wave) for name, wave in loud.items()}
    outputs |= {f"lufs.{name}": torch.tensor([measure_lufs(wave, rate)]) for name, wave in raw.items()}
    for c in case.args["cases"]:
        name = c["name"]
        if "official" in c:
            continue
        named = [None if c[side] == "None" else loud[Path(c[side]).stem] for side in ("left", "right")]
        length = max(len(wave) for wave in named if wave is not None)
        pair = [np.zeros(length, np.float32) if wave is None else wave for wave in named]
        starts = time_voices([VoiceInfo(len(wave) / rate) for wave in pair], c["type"], None, DEFAULT_LIMITS).starts
        ends = [round(start * rate) + len(wave) for wave, start in zip(pair, starts, strict=True)]
        tracks = [on_time_line(w, round(at * rate), max(ends)) for w, at in zip(pair, starts, strict=True)]
        assert [max(ends), *map(len, tracks)] == c["lengths"]
        outputs[f"{name}.sum"] = torch.from_numpy(tracks[0] + tracks[1])
        tails = np.stack([np.concatenate((wave[:64], wave[-64:])) for wave in tracks])
        outputs[f"{name}.tails"] = torch.from_numpy(tails)
    return outputs


def frames_uint8(case: Case) -> Outputs:
    frames = to_uint8(case.input("video"))
    return {"frames": torch.from_numpy(frames), "audio_seconds": torch.tensor([len(frames) / case.args["fps"]])}


def colour(case: Case) -> Outputs:
    outputs = {}
    for number, c in enumerate(case.args["cases"]):
        frames, height, width = c["frames"], c["height"], c["width"]
        source = case.given(f"colour.{number}.source", [1, 3, frames, height, width], 0.5).clamp(-1, 1)
        reference = (case.given(f"colour.{number}.ref", [1, 3, 1, height, width], 0.3) + 0.2).clamp(-1, 1)
        if number == 2:
            source[:, :, 0] = 0.25  # as the case's note says
        outputs[f"corrected.{number}"] = match_colours(source[0], reference[0], c["strength"])[None]
    return outputs


def lora(case: Case) -> Outputs:
    """The official code leaves alpha, half pairs and foreign keys out; here they count or are refused."""
    store = case.store("dit")
    with TemporaryDirectory() as folder:
        files = []
        for number, scale in enumerate(case.args["scales"]):
            prefix = f"in.lora{number}."
            tensors = {k.removeprefix(prefix): v.contiguous() for k, v in case.file.items() if k.startswith(prefix)}
            path = Path(folder) / f"{number}.safetensors"
            save_file({key: tensors[key] for key in tensors if _is_read_by_the_official_code(key, tensors)}, path)
            files.append(Lora(LoraFile(path, scale), store.shapes))
        changed = sorted({name for file in files for name in file.changes})
        assert changed == sorted(case.args["changed_parameters"])
        names = [key.removeprefix("merged.") for key in case.record["outputs"]]
        return {f"merged.{name}": merge_all(files, name, store.read(name)) for name in names}


def _is_read_by_the_official_code(key: str, keys: Collection[str]) -> bool:
    other = key.replace("lora_up", "lora_down") if "lora_up" in key else key.replace("lora_down", "lora_up")
    return key.startswith("diffusion_model.") and not key.endswith(".alpha") and other in keys
