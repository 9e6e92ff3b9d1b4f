"""Small weight files in the two real formats, written without torch or safetensors.

* safetensors: u64 length of the header, JSON header padded with spaces to a multiple of 8, tensor bytes.
* torch: the zip that ``torch.save`` writes, with ``archive/data.pkl`` (an ordered dict of tensors, opcodes written here
  by hand), ``archive/data/<n>`` per tensor, ``archive/version`` and ``archive/byteorder``; no member is deflated.

Values are noise between 2**-7 and 2**-5 in magnitude, a function of the seed alone: finite, and incompressible enough.
"""

from __future__ import annotations

import io
import json
import math
import random
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

_SIGN_AND_EXPONENT = bytes((byte & 0x80) | 0x3C for byte in range(256))
_WIDTH = {"F32": 4, "BF16": 2}
_STORAGE = {"F32": "FloatStorage", "BF16": "BFloat16Storage"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's type (F32 or BF16), shape and little-endian bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def noise(shape: tuple[int, ...], seed: str, dtype: str = "F32") -> Tensor:
    """Pseudo-random weights; the last byte of each value is its sign and upper exponent."""
    width = _WIDTH[dtype]
    data = bytearray(random.Random(seed).randbytes(math.prod(shape) * width))
    data[width - 1 :: width] = data[width - 1 :: width].translate(_SIGN_AND_EXPONENT)
    return Tensor(dtype, shape, bytes(data))


def safetensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + b"".join(tensor.data for tensor in tensors.values())


def torch_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    members = {"data.pkl": _pickled(tensors), "byteorder": b"little", "version": b"3\n"}
    members |= {f"data/{number}": tensor.data for number, tensor in enumerate(tensors.values())}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", _EPOCH), content)
    return buffer.getvalue()


def _pickled(tensors: Mapping[str, Tensor]) -> bytes:
    """Protocol 2: OrderedDict() filled with name -> _rebuild_tensor_v2(storage, 0, shape, strides, False, {})."""
    items = b"".join(_text(name) + _tensor(tensor, number) for number, (name, tensor) in enumerate(tensors.items()))
    return b"\x80\x02" + _EMPTY_DICT + b"(" + items + b"u."


def _tensor(tensor: Tensor, number: int) -> bytes:
    count = math.prod(tensor.shape)
    storage = _tuple(
        _text("storage"),
        b"ctorch\n%s\n" % _STORAGE[tensor.dtype].encode(),
        _text(str(number)),
        _text("cpu"),
        _int(count),
    )
    strides = [math.prod(tensor.shape[axis + 1 :]) for axis in range(len(tensor.shape))]
    shape, steps = (_tuple(*map(_int, numbers)) for numbers in (tensor.shape, strides))
    arguments = _tuple(storage + b"Q", _int(0), shape, steps, b"\x89", _EMPTY_DICT)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


_EMPTY_DICT = b"ccollections\nOrderedDict\n)R"


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)
