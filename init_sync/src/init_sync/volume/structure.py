"""Whether a checkpoint file is complete by its own structure, for when nothing else is known about it.

- ``.safetensors``: 8 bytes of header length, a JSON header, and tensors up to the largest ``data_offsets`` end.
- PyTorch's zip archives (``.pth``, ``.pt``, ``.bin``): an end-of-central-directory record that can be read.
- ``*.index.json``: every file of ``weight_map`` exists beside it and holds the tensors that it promises.

None of this proves the bytes in between; that is what hashes are for.
"""

from __future__ import annotations

import json
import zipfile
from posixpath import dirname
from typing import Any

from init_sync.core.volumepath import path_problem
from init_sync.volume.volume import Volume


class Damaged(ValueError):
    """The file cannot be what its name says; the message tells why."""


MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit
LOCAL_FILE_MAGIC = b"PK\x03\x04"


def structure_problem(volume: Volume, path: str) -> str | None:
    """What the file's own structure says against it, in words; None when nothing does or the format is not known."""
    try:
        if path.endswith(".safetensors"):
            return _safetensors_problem(volume, path)
        if path.endswith(".index.json"):
            return _index_problem(volume, path)
        if path.endswith((".pth", ".pt", ".bin")):
            return _torch_zip_problem(volume, path)
    except Damaged as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        return f"its structure is damaged ({type(error).__name__})"  # what lies on a volume may be anything
    return None


def safetensors_header(volume: Volume, path: str) -> dict[str, Any]:
    """The header of a safetensors file. Raises ValueError (Damaged when it can say why) or RecursionError."""
    with volume.open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise Damaged("it does not begin with a safetensors header")
        text = file.read(length)
    if len(text) < length:
        raise Damaged(f"its header is cut off after {len(text)} of {length} bytes")
    header = json.loads(text)
    if not isinstance(header, dict):
        raise Damaged("its header is not a mapping")
    return header


def _safetensors_problem(volume: Volume, path: str) -> str | None:
    header = safetensors_header(volume, path)
    with volume.open_file(path) as file:
        header_end = 8 + int.from_bytes(file.read(8), "little")
    ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    if any(end < 0 for end in ends):
        raise Damaged("its header has a negative offset")
    promised = header_end + max(ends, default=0)
    size = volume.stat(path).st_size
    if size < promised:
        return f"cut off: its header promises {promised:,} bytes, {promised - size:,} are missing"
    if size > promised:
        return f"its header promises {promised:,} bytes, {size - promised:,} too many are there"
    return None


def _torch_zip_problem(volume: Volume, path: str) -> str | None:
    with volume.open_file(path) as file:
        if file.read(4) != LOCAL_FILE_MAGIC:
            return "empty" if volume.stat(path).st_size == 0 else None  # an old pickle without a zip around it
    try:
        with volume.open_file(path) as file:
            if not zipfile.is_zipfile(file):
                return "cut off: the end record of the archive is missing"
            with zipfile.ZipFile(file) as archive:
                last = max((entry.header_offset + entry.compress_size for entry in archive.infolist()), default=0)
    except (zipfile.BadZipFile, ValueError) as error:
        return f"the archive's directory is damaged: {error}"
    return "the archive's directory points beyond its end" if last > volume.stat(path).st_size else None


def index_shards(volume: Volume, path: str) -> dict[str, set[str]]:
    """The tensors of each shard that an index names. Raises Damaged or ValueError when it is no index."""
    with volume.open_file(path) as file:
        index = json.loads(file.read(MAX_HEADER_BYTES))
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise Damaged("it is not an index with a weight_map")
    wanted: dict[str, set[str]] = {}
    for tensor, shard in index["weight_map"].items():
        if not isinstance(shard, str) or path_problem(shard):
            raise Damaged(f"it names {str(shard)[:60]!r}, which cannot be a file beside it")
        wanted.setdefault(shard, set()).add(tensor)
    return wanted


def _index_problem(volume: Volume, path: str) -> str | None:
    for shard, tensors in sorted(index_shards(volume, path).items()):
        if problem := _shard_problem(volume, f"{dirname(path)}/{shard}", shard, tensors):
            return problem
    return None


def _shard_problem(volume: Volume, path: str, shard: str, tensors: set[str]) -> str | None:
    try:
        volume.stat(path)
    except FileNotFoundError:
        return f"it names {shard}, which is not there"
    if not shard.endswith(".safetensors"):
        return None
    try:
        absent = tensors - safetensors_header(volume, path).keys()
    except Damaged as error:
        return f"{shard}, which it names: {error}"
    if absent:
        return f"it expects {len(absent)} tensors in {shard} that are not there, such as {min(absent)}"
    return None
