"""The reference folder: its cases, and the weights and inputs that follow from names.

A case names a file of expected tensors, the shapes and tolerances in it, and how its inputs come about: stored in the
file, or drawn from a generator seeded by a name. Another folder of the same form serves as well; nothing here knows a
particular case.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_FOLDER = REPOSITORY.parent / "shared" / "golden" / "multitalk"


def folder() -> Path | None:
    """The reference folder, if there is one; one that is named must be there."""
    named = os.environ.get("MULTITALK_GOLDEN")
    path = Path(named or DEFAULT_FOLDER)
    if (path / "cases.json").is_file():
        return path
    if named:
        raise FileNotFoundError(f"MULTITALK_GOLDEN={named}: no cases.json there")
    return None


def draw(salt: str, group: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers that follow from a name."""
    seed = zlib.crc32(f"{salt}|{group}|{name}".encode()) & 0xFFFFFFFF
    return np.asarray(np.random.RandomState(seed).standard_normal(shape), dtype=np.float32)


def weight(salt: str, model: str, name: str, shape: tuple[int, ...]) -> Tensor:
    """One parameter of the reference weights."""
    n, leaf = draw(salt, model, name, shape), name.rsplit(".", 1)[-1]
    if leaf in ("gamma", "weight_g") or (leaf == "weight" and len(shape) == 1):
        n = 1 + 0.1 * n
    elif leaf == "weight" and "token_embedding" in name:
        pass
    elif (leaf == "weight" and "pos_embedding.embedding" in name) or leaf in ("cls_embedding", "pos_embedding"):
        n = 0.5 * n
    elif leaf in ("weight", "weight_v"):
        n = n / np.float32(np.sqrt(np.prod(shape[1:])))
    elif leaf in ("bias", "modulation"):
        n = 0.2 * n
    else:
        n = 0.02 * n
    return torch.from_numpy(np.asarray(n, dtype=np.float32))


class RuleStore:
    """A tensor store whose numbers follow from the names of one model's parameters."""

    def __init__(self, salt: str, model: str, shapes: Mapping[str, list[int]], scaled: Mapping[str, float]) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._salt, self._model, self._scaled = salt, model, scaled

    def size_bytes(self, name: str) -> int:
        return 4 * int(np.prod(self.shapes[name], dtype=np.int64))

    def origin(self, name: str) -> str:
        return f"rule:{self._model}"

    def position(self, name: str) -> tuple[int, int]:
        return 0, 0

    def dtype(self, name: str) -> torch.dtype:
        return torch.float32

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        buffer[:] = self.read(name).numpy().tobytes()[start : start + len(buffer)]

    def read(self, name: str) -> Tensor:
        return weight(self._salt, self._model, name, self.shapes[name]) * self._scaled.get(name, 1.0)


REMARKS = frozenset({"note", "weights_note", "masks", "order", "closest_gap_to_threshold"})
"""Arguments that describe what is stored, or are read as text by `Case.store`."""


class Arguments(Mapping[str, Any]):
    """The arguments of a case. It knows which were read, so that none is left out in silence."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = {name: _arguments(value) for name, value in given.items()}
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def unread(self) -> list[str]:
        """Names of the arguments that nobody asked for, also within lists."""
        left = [name for name in self._given if name not in self._read | REMARKS]
        for name, value in self._given.items():
            for one in value if isinstance(value, list) else [value]:
                left += [f"{name}.{inner}" for inner in one.unread()] if isinstance(one, Arguments) else []
        return left


def _arguments(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Arguments(value)
    return [_arguments(one) for one in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Case:
    """One recorded case."""

    folder: Path
    record: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def kind(self) -> str:
        return str(self.record["kind"])

    @cached_property
    def args(self) -> Arguments:
        return Arguments(self.record.get("args") or {})

    @property
    def salt(self) -> str:
        return str(self.record["weights_salt"])

    @property
    def config(self) -> Mapping[str, Any]:
        config: Mapping[str, Any] = self.record["model_config"]
        return config

    @cached_property
    def file(self) -> dict[str, Tensor]:
        return load_file(self.folder / self.record["file"])

    def stored(self, name: str) -> Tensor:
        """An input that lies in the file."""
        return self.file[f"in.{name}"]

    def given(self, spec: str | Mapping[str, Any], shape: list[int] | None = None, scale: float = 1.0) -> Tensor:
        """An input that follows from a rule (or is zeros)."""
        if isinstance(spec, str):
            spec = {"rule": spec, "shape": shape, "scale": scale}
        if "zeros" in spec:
            return torch.zeros(spec["zeros"])
        seed = zlib.crc32(f"{self.salt}|in|{spec['rule']}".encode()) & 0xFFFFFFFF
        n = np.random.RandomState(seed).standard_normal(tuple(spec["shape"])) * spec.get("scale", 1.0)
        out = torch.from_numpy(n.astype(np.float32))
        return out.clamp(*spec["clamp"]) if "clamp" in spec else out

    def input(self, name: str) -> Tensor:
        """An input as `inputs` says."""
        spec = self.record["inputs"][name]
        return self.stored(name) if isinstance(spec, str) else self.given(spec)

    def store(self, tag: str, shapes_of: str | None = None) -> RuleStore:
        """The weights of one model, with the changes that the case's notes ask for."""
        shapes = json.loads((self.folder / "parameters.json").read_bytes())[shapes_of or tag]
        return RuleStore(self.salt, tag, shapes, self._scaled())

    def _scaled(self) -> dict[str, float]:
        text = json.dumps(self.record.get("args"))
        assert text.count("weights_note") == len(re.findall(r"weights_note[^,}]* multiplied by ", text)), "unknown note"
        return {name: float(by) for name, by in re.findall(r"([\w.]+) multiplied by ([\d.]*\d)", text)}

    def expected(self) -> dict[str, tuple[Tensor, float]]:
        """Expected tensors and their tolerances."""
        return {name: (self.file[name], float(out["abs_tolerance"])) for name, out in self.record["outputs"].items()}


def read_cases(path: Path) -> list[Case]:
    """All cases of a folder."""
    return [Case(path, record) for record in json.loads((path / "cases.json").read_bytes())["cases"]]
