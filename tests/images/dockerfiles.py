"""Reads a Dockerfile as far as the checks need: instructions, by stage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("init_sync", "operator", "inference")
TORCH_VARIANTS = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line, continuations joined: ``RUN``, and what follows."""

    name: str
    rest: str


def instructions(folder: str) -> list[Instruction]:
    text = (ROOT / folder / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [Instruction(*re.split(r"\s+", line, maxsplit=1)) for line in lines if line.strip()]


def final_stage(folder: str) -> list[Instruction]:
    found = instructions(folder)
    last = max(place for place, instruction in enumerate(found) if instruction.name == "FROM")
    return found[last:]


def values(found: list[Instruction], name: str) -> list[str]:
    return [" ".join(instruction.rest.split()) for instruction in found if instruction.name == name]
