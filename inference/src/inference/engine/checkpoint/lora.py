"""LoRA files, merged into the transformer's weights while they are loaded.

A pair adds strength * alpha / rank * up @ down to a weight, where alpha / rank is 1 for files that have no alpha;
additions as they are (`.diff`, `.diff_b`, `.diff_m`) are scaled by the strength alone. The official code leaves alpha
out and takes 1.2 for the strength; published files are made for 1.0.

`lora_keys` knows the dialects, `lora_plan` decides what changes.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from inference.engine.checkpoint.lora_plan import Change, plan_changes
from inference.engine.checkpoint.safetensors_file import SafetensorsFile
from inference.engine.checkpoint.store import Shape
from inference.engine.errors import CheckpointError
from inference.generation import LoraFile

log = logging.getLogger(__name__)

PEFT_FILE, PEFT_SETTINGS = "adapter_model.safetensors", "adapter_config.json"
DIFFUSERS_SETTINGS = "lora_adapter_metadata"


class Lora:
    """The changes that one file makes to a model; its tensors are read when a parameter asks for them."""

    def __init__(self, wanted: LoraFile, parameters: Mapping[str, Shape]) -> None:
        """Raises `CheckpointError` unless all of the file can be merged."""
        self.path, self._strength = wanted.path, wanted.strength
        self._file = SafetensorsFile(wanted.path)
        plan = plan_changes({name: entry.shape for name, entry in self._file.entries.items()}, parameters)
        if plan.problems:
            raise CheckpointError(f"merging {self.path.name}: {'; '.join(plan.problems)}")
        self._file_alpha, self._by_root = self._alpha_of_all()
        self.changes: dict[str, list[tuple[Change, float]]] = {}
        for change in plan.changes:
            self.changes.setdefault(change.target, []).append((change, self._factor(change)))
        for note in plan.notes:
            log.warning("merging %s: not used: %s", self.path.name, note)
        factors = sorted({factor for changes in self.changes.values() for change, factor in changes if change.rank})
        shown = "-".join(f"{factor:.4g}" for factor in (factors[:1] + factors[1:][-1:]))
        found = {"lora": self.path.name, "parameters": len(self.changes), "strength": self._strength}
        log.info("merging", extra={"fields": found | ({"alpha_over_rank": shown} if shown else {})})

    def merge(self, name: str, weight: Tensor) -> Tensor:
        """Add this file's changes to one parameter; float32 arithmetic on the weight's device."""
        for change, factor in self.changes.get(name, ()):
            weight = weight.float() + self._strength * factor * self._delta(change, weight)
        return weight

    def _delta(self, change: Change, weight: Tensor) -> Tensor:
        tensors = [self._file.read(key).to(weight.device).float() for key in change.factors]
        if len(tensors) == 1:
            return tensors[0]
        up, down = tensors
        return (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)

    def _factor(self, change: Change) -> float:
        """Alpha over rank."""
        if change.rank is None:
            return 1.0
        alpha = self._file_alpha if change.alpha is None else self._number(change.alpha)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(change.rank) if self._by_root else change.rank)

    def _number(self, key: str) -> float:
        tensor = self._file.read(key).float()
        if tensor.numel() != 1 or not math.isfinite(tensor.item()):
            raise CheckpointError(f"merging {self.path.name}: {key} is not a number")
        return tensor.item()

    def _alpha_of_all(self) -> tuple[float | None, bool]:
        """PEFT keeps alpha apart from the tensors; also whether it is divided by the root of the rank."""
        settings = self._settings()
        if settings.get("use_dora"):
            raise CheckpointError(f"merging {self.path.name}: its settings say DoRA: only plain LoRA can be merged")
        if settings.get("alpha_pattern"):
            text = "its settings have an alpha_pattern, which is not read: save it with one alpha for all layers"
            raise CheckpointError(f"merging {self.path.name}: {text}")
        alpha = settings.get("lora_alpha")
        return (float(alpha) if isinstance(alpha, int | float) else None), bool(settings.get("use_rslora"))

    def _settings(self) -> Mapping[str, object]:
        beside = self.path.with_name(PEFT_SETTINGS)
        text = self._file.metadata.get(DIFFUSERS_SETTINGS)
        try:
            if text is None:
                is_peft = self.path.name == PEFT_FILE and beside.is_file()
                return _json_object(beside.read_bytes()) if is_peft else {}
            prefix = "transformer."
            return {key.removeprefix(prefix): value for key, value in _json_object(text).items()}
        except ValueError as e:
            where = DIFFUSERS_SETTINGS if text is not None else PEFT_SETTINGS
            raise CheckpointError(f"merging {self.path.name}: {where} cannot be read: {e}") from e


def _json_object(text: str | bytes) -> Mapping[str, object]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("a JSON object is expected")
    return found


def merge_all(loras: Sequence[Lora], name: str, weight: Tensor) -> Tensor:
    """Merge several files in their order."""
    for lora in loras:
        weight = lora.merge(name, weight)
    return weight
