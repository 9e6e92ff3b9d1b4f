"""LoRA files, merged into the transformer's weights while they are loaded.

Keys in a file: `diffusion_model.NAME.lora_down.weight` with `diffusion_model.NAME.lora_up.weight` change NAME.weight by
scale * up @ down; `diffusion_model.NAME.diff` is added to NAME.weight, `.diff_b` to NAME.bias, each times scale.
`alpha` has no effect, as in the official code. Half pairs and keys of other models are counted, not used.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from inference.engine.checkpoint.safetensors_file import SafetensorsFile
from inference.engine.errors import CheckpointError

log = logging.getLogger(__name__)

PREFIX = "diffusion_model."
DOWN, UP = ".lora_down.weight", ".lora_up.weight"
DEFAULT_SCALE = 1.2


@dataclass(frozen=True, slots=True)
class Change:
    """One addition to one parameter: the product of two stored tensors, or one tensor as it is."""

    target: str
    factors: tuple[str, ...]


class Lora:
    """The changes of one file; its tensors are read when a parameter asks for them."""

    def __init__(self, path: Path, scale: float = DEFAULT_SCALE) -> None:
        self.path = path
        self.scale = scale
        self._file = SafetensorsFile(path)
        self.changes: dict[str, list[Change]] = {}
        for change in plan_changes(self._file.entries.keys()):
            self.changes.setdefault(change.target, []).append(change)

    def check(self, parameters: Collection[str]) -> None:
        """Refuse a file that changes nothing here, or changes parameters that do not exist."""
        foreign = sorted(self.changes.keys() - set(parameters))
        if foreign:
            raise CheckpointError(f"merging {self.path.name}: the model has no {foreign[0]} ({len(foreign)} such keys)")
        if not self.changes:
            raise CheckpointError(f"merging {self.path.name}: no key begins with {PREFIX}, it is for another model")
        found = {"lora": self.path.name, "parameters": len(self.changes), "scale": self.scale}
        log.info("merging", extra={"fields": found})

    def merge(self, name: str, weight: Tensor) -> Tensor:
        """Add this file's changes to one parameter; float32 arithmetic on the weight's device."""
        for change in self.changes.get(name, ()):
            delta = self._delta(change, weight)
            if delta.shape != weight.shape:
                raise CheckpointError(
                    f"merging {self.path.name}: the change of {name} is {list(delta.shape)}, not {list(weight.shape)}"
                )
            weight = weight.float() + self.scale * delta
        return weight

    def _delta(self, change: Change, weight: Tensor) -> Tensor:
        tensors = [self._file.read(key).to(weight.device).float() for key in change.factors]
        if len(tensors) == 1:
            return tensors[0]
        up, down = tensors
        product = up.flatten(1) @ down.flatten(1)
        return product.reshape(weight.shape) if product.numel() == weight.numel() else product


def plan_changes(keys: Collection[str]) -> list[Change]:
    """Decide from a file's keys alone what changes."""
    changes = []
    for key in sorted(keys):
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX)
        if name.endswith(UP) and (down := key.removesuffix(UP) + DOWN) in keys:
            changes.append(Change(name.removesuffix(UP) + ".weight", (key, down)))
        elif name.endswith(".diff"):
            changes.append(Change(name.removesuffix(".diff") + ".weight", (key,)))
        elif name.endswith(".diff_b"):
            changes.append(Change(name.removesuffix(".diff_b") + ".bias", (key,)))
    return changes


def merge_all(loras: Sequence[Lora], name: str, weight: Tensor) -> Tensor:
    """Merge several files in their order."""
    for lora in loras:
        weight = lora.merge(name, weight)
    return weight
