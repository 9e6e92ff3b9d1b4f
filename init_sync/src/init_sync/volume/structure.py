"""Whether a checkpoint file is whole by its own structure, for when nothing else is known about it.

- ``.safetensors``: 8 bytes of header length, a JSON header, and tensors up to the largest ``data_offsets`` end.
- PyTorch's zip archives (``.pth``, ``.pt``, ``.bin``): an end-of-central-directory record that can be read.
- ``*.index.json``: every file of ``weight_map`` exists beside it and holds the tensors that it promises.

None of this proves the bytes in between; that is what hashes are for.
"""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit
LOCAL_FILE_MAGIC = b"PK\x03\x04"


def structure_problem(path: str) -> str | None:
    """What the file's own structure says against it, in words; None when nothing does or the format is not known."""
    try:
        if path.endswith(".safetensors"):
            return _safetensors_problem(path)
        if path.endswith(".index.json"):
            return _index_problem(path)
        if path.endswith((".pth", ".pt", ".bin")):
            return _torch_zip_problem(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def safetensors_header(path: str) -> dict[str, Any]:
    """The header of a safetensors file. Raises ValueError when there is none."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise ValueError("it does not begin with a safetensors header")
        text = file.read(length)
    if len(text) < length:
        raise ValueError(f"its header is cut off after {len(text)} of {length} bytes")
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("its header is not a mapping")
    return header


def _safetensors_problem(path: str) -> str | None:
    try:
        header = safetensors_header(path)
        with open(path, "rb") as file:
            header_end = 8 + int.from_bytes(file.read(8), "little")
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return str(error) if isinstance(error, ValueError) and "header" in str(error) else "its header is damaged"
    promised = header_end + max(ends, default=0)
    size = os.path.getsize(path)
    if size < promised:
        return f"cut off: its header promises {promised:,} bytes, {promised - size:,} are missing"
    if size > promised:
        return f"its header promises {promised:,} bytes, {size - promised:,} too many are there"
    return None


def _torch_zip_problem(path: str) -> str | None:
    with open(path, "rb") as file:
        if file.read(4) != LOCAL_FILE_MAGIC:
            return "empty" if os.path.getsize(path) == 0 else None  # an old pickle without a zip around it
    if not zipfile.is_zipfile(path):
        return "cut off: the end record of the archive is missing"
    try:
        with zipfile.ZipFile(path) as archive:
            last = max((entry.header_offset + entry.compress_size for entry in archive.infolist()), default=0)
    except (zipfile.BadZipFile, ValueError) as error:
        return f"the archive's directory is damaged: {error}"
    return "the archive's directory points beyond its end" if last > os.path.getsize(path) else None


def _index_problem(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            weight_map = json.loads(file.read())["weight_map"]
        wanted: dict[str, set[str]] = {}
        for tensor, shard in weight_map.items():
            wanted.setdefault(shard, set()).add(tensor)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "it is not an index with a weight_map"
    for shard, tensors in sorted(wanted.items()):
        place = os.path.join(os.path.dirname(path), shard)
        if not os.path.exists(place):
            return f"it names {shard}, which is not there"
        if not shard.endswith(".safetensors"):
            continue
        try:
            absent = tensors - safetensors_header(place).keys()
        except ValueError as error:
            return f"{shard}, which it names: {error}"
        if absent:
            return f"it expects {len(absent)} tensors in {shard} that are not there, such as {min(absent)}"
    return None
