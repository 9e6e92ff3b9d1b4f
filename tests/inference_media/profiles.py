"""Colour profiles for tests: RGB by its primaries and a gamma, grey by a gamma."""

from __future__ import annotations

import struct

import numpy as np

WHITE_D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[1.0478, 0.0229, -0.0501], [0.0295, 0.9905, -0.0170], [-0.0092, 0.0150, 0.7521]])
"""From the white of a screen (D65) to that of profiles."""
DISPLAY_P3 = np.array([[0.4866, 0.2657, 0.1982], [0.2290, 0.6917, 0.0793], [0.0, 0.0451, 1.0439]])
ADOBE_RGB = np.array([[0.5767, 0.1856, 0.1882], [0.2973, 0.6274, 0.0753], [0.0270, 0.0707, 0.9911]])
SRGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
"""Columns are the primaries in XYZ."""
GAMMA = 2.2


def stored(colour: tuple[int, int, int], primaries: np.ndarray) -> tuple[int, int, int]:
    """The numbers by which a file with these primaries shows a colour of sRGB."""
    light = np.linalg.inv(primaries) @ SRGB @ (np.array(colour) / 255) ** GAMMA
    red, green, blue = np.rint(np.clip(light, 0, 1) ** (1 / GAMMA) * 255).astype(int).tolist()
    return red, green, blue


def rgb_profile(primaries: np.ndarray) -> bytes:
    columns = (BRADFORD @ primaries).T
    tags = {f"{name}XYZ".encode(): _xyz(column) for name, column in zip("rgb", columns, strict=True)}
    return _profile(b"RGB ", tags | {f"{name}TRC".encode(): _curve(GAMMA) for name in "rgb"})


def grey_profile(gamma: float) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def _xyz(values: np.ndarray | tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(float(value) * 65_536)) for value in values)


def _curve(gamma: float) -> bytes:
    return struct.pack(">4sIIHH", b"curv", 0, 1, round(gamma * 256), 0)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"made for a test\0"
    text = struct.pack(">4sII", b"desc", 0, len(name)) + name + bytes(79)
    tags = {b"desc": text + bytes(-len(text) % 4), b"wtpt": _xyz(WHITE_D50)} | tags
    table, data = b"", b""
    for key, value in tags.items():
        table += key + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">IIII", 128 + len(body), 0, 0x0240_0000, int.from_bytes(b"mntr", "big")) + space + b"XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + _xyz(WHITE_D50)[8:]
    return head.ljust(128, b"\0") + body
