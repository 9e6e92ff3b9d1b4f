"""Runs of everything without weights but with pictures and sound, and of LoRA."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from inference.engine.audio_tracks import arrange, measure_lufs, normalize_loudness
from inference.engine.checkpoint.lora import Lora, merge_all
from inference.engine.known_frames import latent_size
from inference.engine.video.buckets import nearest_size
from inference.engine.video.colour import match_colours
from inference.engine.video.frames import resize_crop, to_uint8
from inference.engine.video.regions import latent_masks, whole_picture
from inference.generation import Box, LoraFile
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
    for number, (height, width) in enumerate(case.args["targets"]):
        image = Image.fromarray(case.stored(f"image.{number}").to(torch.uint8).numpy())
        outputs[f"crop.{number}"] = torch.from_numpy(resize_crop(image, height, width)).permute(2, 0, 1)
    return outputs


def masks(case: Case) -> Outputs:
    outputs = {}
    for number, c in enumerate(case.args["cases"]):
        latent = latent_size(*c["target"])
        if c["people"] == 1:
            outputs[f"mask.{number}"] = whole_picture(latent)
            continue
        boxes = (Box(*c["bbox"]["person1"]), Box(*c["bbox"]["person2"])) if c["bbox"] else None
        source = (c["source_height"], c["source_width"])
        outputs[f"mask.{number}"] = latent_masks(source, tuple(c["target"]), latent, boxes)
    return outputs


def audio_mix(case: Case) -> Outputs:
    names = [key.removeprefix("in.") for key in case.file if key.startswith("in.")]
    raw = {name: case.stored(name).numpy() for name in names}
    rate = case.args["sample_rate"]
    loud = {name: normalize_loudness(wave, rate) for name, wave in raw.items()}
    outputs = {f"loud.{name}": torch.from_numpy(wave) for name, wave in loud.items()}
    outputs |= {f"lufs.{name}": torch.tensor([measure_lufs(wave, rate)]) for name, wave in raw.items()}
    for c in case.args["cases"]:
        if "official" in c:
            continue
        pair = [None if c[side] == "None" else loud[Path(c[side]).stem] for side in ("left", "right")]
        tracks = arrange(pair, c["type"])
        assert [len(tracks.mix), *(len(wave) for wave in tracks.people)] == c["lengths"]
        outputs[f"{c['name']}.sum"] = torch.from_numpy(tracks.mix)
        tails = np.stack([np.concatenate((wave[:64], wave[-64:])) for wave in tracks.people])
        outputs[f"{c['name']}.tails"] = torch.from_numpy(tails)
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
