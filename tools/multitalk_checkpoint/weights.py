"""Weights that follow from names: the same tensor name gives the same numbers on every machine.

Nothing of a trained model is in them. The scale of each tensor follows from its role, so that
signals neither vanish nor explode on their way through a network.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def rule_weight(salt: str, model: str, name: str, shape: Sequence[int]) -> Tensor:
    """Make the tensor `name` of `model`; another salt gives other numbers."""
    seed = zlib.crc32(f"{salt}|{model}|{name}".encode()) & 0xFFFFFFFF
    draw = np.asarray(np.random.RandomState(seed).standard_normal(tuple(shape)), dtype=np.float32)
    scaled = np.float32(mean_of(name, shape)) + np.float32(spread_of(name, shape)) * draw
    return torch.from_numpy(np.asarray(scaled, dtype=np.float32))


def _is_norm(name: str, shape: Sequence[int]) -> bool:
    leaf = name.rsplit(".", 1)[-1]
    return leaf in ("gamma", "weight_g") or (leaf == "weight" and len(shape) == 1)


def mean_of(name: str, shape: Sequence[int]) -> float:
    """Mean of a tensor's numbers: 1 for the weights of norms."""
    return 1.0 if _is_norm(name, shape) else 0.0


def spread_of(name: str, shape: Sequence[int]) -> float:
    """Standard deviation of a tensor's numbers."""
    leaf = name.rsplit(".", 1)[-1]
    if _is_norm(name, shape):
        return 0.1
    if leaf == "weight" and "token_embedding" in name:
        return 1.0
    if leaf in ("cls_embedding", "pos_embedding") or (leaf == "weight" and "pos_embedding.embedding" in name):
        return 0.5
    if leaf in ("weight", "weight_v"):
        return float(1 / np.sqrt(np.prod(shape[1:])))
    return 0.2 if leaf in ("bias", "modulation") else 0.02
