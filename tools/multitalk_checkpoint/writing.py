"""A checkpoint onto a disk: the layout filled with the numbers of a rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from inference.multitalk import AUDIO, BASE, TOKENIZER_FILE, WAV2VEC
from multitalk_checkpoint.layout import Networks, WeightFile, json_files, weight_files
from multitalk_checkpoint.tokenizer import tiny_tokenizer

SAFETENSORS_TYPES = {torch.float32: "F32", torch.bfloat16: "BF16"}

Values = Callable[[str, str, tuple[int, ...]], Tensor]
"""Numbers by model, name and shape of a tensor."""


def write_checkpoint(folder: Path, networks: Networks, values: Values) -> Path:
    """Write the three model directories below `folder`."""
    for name in (BASE, WAV2VEC, AUDIO):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path, content in json_files(networks).items():
        (folder / path).write_text(json.dumps(content, indent=2) + "\n")
    (folder / BASE / TOKENIZER_FILE).parent.mkdir(parents=True, exist_ok=True)
    tiny_tokenizer().save(str(folder / BASE / TOKENIZER_FILE))
    with ThreadPoolExecutor(thread_name_prefix="write") as pool:
        for job in [pool.submit(_write_weights, folder, file, values) for file in weight_files(networks)]:
            job.result()
    return folder


def _write_weights(folder: Path, file: WeightFile, values: Values) -> None:
    if file.path.endswith(".safetensors"):
        _write_safetensors(folder / file.path, file, values)
        return
    tensors = {name: values(file.model, name, shape).to(file.dtype) for name, shape in file.shapes.items()}
    torch.save(tensors, folder / file.path)


def _write_safetensors(path: Path, file: WeightFile, values: Values) -> None:
    """Tensor by tensor: safetensors' own writer wants all of a file in memory at once."""
    header, end = {}, 0
    for name, shape in file.shapes.items():
        start, end = end, end + torch.Size(shape).numel() * file.dtype.itemsize
        header[name] = {"dtype": SAFETENSORS_TYPES[file.dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, shape in file.shapes.items():
            tensor = values(file.model, name, shape).to(file.dtype)
            stream.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
