"""A volume with files of the published sizes, types and names, full of random numbers: 90 GB to measure on.

Loading takes as long, and a step too, as with the real files; what comes out is noise. Numbers are drawn once and
repeated through each tensor, scaled as `weights_rule` does, so that signals neither vanish nor explode.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from inference import layout, official
from inference.engine.dit.config import DitConfig
from inference.layout import AUDIO, BASE, INDEX, WAV2VEC, Shapes
from inference.tiny_tokenizer import tiny_tokenizer
from inference.weights_rule import mean_of, spread_of

DRAWN = 2**24
"""Numbers that are drawn; longer tensors repeat them."""
SAFETENSORS_TYPES = {torch.float32: "F32", torch.bfloat16: "BF16"}

Values = Callable[[str, tuple[int, ...]], Tensor]


def write_official(folder: Path, layers: int = official.DIT.num_layers, dit_dtype: torch.dtype = torch.float32) -> None:
    """Write the three model directories; fewer `layers` or bfloat16 (the official files are float32) are smaller."""
    for name in (BASE, WAV2VEC, AUDIO):
        (folder / name).mkdir(parents=True, exist_ok=True)
    values = RepeatedNoise()
    with ThreadPoolExecutor(thread_name_prefix="write") as pool:
        jobs = list(_files(folder, replace(official.DIT, num_layers=layers), dit_dtype, values))
        for job in [pool.submit(job) for job in jobs]:
            job.result()


def _files(folder: Path, config: DitConfig, dtype: torch.dtype, values: Values) -> Iterator[Callable[[], None]]:
    files = layout.dit_files(config, official.SHARDS)
    for file, shapes in files.items():
        path = folder / (AUDIO if file == layout.AUDIO_FILE else BASE) / file
        yield lambda path=path, shapes=shapes: write_safetensors(path, shapes, dtype, values)  # type: ignore[misc]
    base = folder / BASE
    yield lambda: _write_pickle(
        base / layout.TEXT_FILE, layout.text_shapes(official.text_config()), torch.bfloat16, values
    )
    yield lambda: _write_pickle(
        base / layout.CLIP_FILE, layout.clip_shapes(official.clip_config()), torch.float32, values
    )
    yield lambda: _write_pickle(base / layout.VAE_FILE, layout.vae_shapes(official.VAE), torch.float32, values)
    voice = folder / WAV2VEC
    yield lambda: write_safetensors(
        voice / layout.VOICE_FILE, layout.voice_shapes(official.VOICE), torch.float32, values
    )
    yield lambda: _write_small(folder, config, files)


def _write_small(folder: Path, config: DitConfig, files: dict[str, Shapes]) -> None:
    shards = {file: names for file, names in files.items() if file != layout.AUDIO_FILE}
    contents = {
        folder / BASE / INDEX: layout.index(shards),
        folder / AUDIO / INDEX: layout.index(files),
        folder / BASE / "config.json": layout.dit_settings(config),
        folder / WAV2VEC / "config.json": layout.voice_settings(official.VOICE),
        folder / WAV2VEC / "preprocessor_config.json": layout.VOICE_PREPROCESSOR,
    }
    for path, content in contents.items():
        path.write_text(json.dumps(content))
    tokenizer = folder / BASE / layout.TOKENIZER_FILE
    tokenizer.parent.mkdir(parents=True, exist_ok=True)
    tiny_tokenizer().save(str(tokenizer))


class RepeatedNoise:
    """Values of any tensor from one draw."""

    def __init__(self, seed: int = 0) -> None:
        self._noise = torch.randn(DRAWN, generator=torch.Generator().manual_seed(seed))

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Make a float32 tensor."""
        count = torch.Size(shape).numel()
        flat = torch.empty(count)
        scaled = self._noise[:count] * spread_of(name, shape) + mean_of(name, shape)
        for start in range(0, count, DRAWN):
            part = flat[start : start + DRAWN]
            part.copy_(scaled[: len(part)])
        return flat.reshape(shape)


def write_safetensors(path: Path, shapes: Shapes, dtype: torch.dtype, values: Values) -> None:
    """Write tensor by tensor: safetensors' own writer wants all of a file in memory at once."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + torch.Size(shape).numel() * dtype.itemsize
        header[name] = {"dtype": SAFETENSORS_TYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, shape in shapes.items():
            file.write(values(name, shape).to(dtype).reshape(-1).view(torch.uint8).numpy().data)


def _write_pickle(path: Path, shapes: Shapes, dtype: torch.dtype, values: Values) -> None:
    torch.save({name: values(name, shape).to(dtype) for name, shape in shapes.items()}, path)
