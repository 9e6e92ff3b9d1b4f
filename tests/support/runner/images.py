"""Images: which program of this machine stands for which image, and the environment that an image brings along."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SANDBOX = Path(__file__).with_name("sandbox.py")


@dataclass(frozen=True, slots=True)
class Image:
    """What ``ENTRYPOINT`` and ``ENV`` are to a real one."""

    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def python_image(module: str, **env: str) -> Image:
    """A program of this project: ``python -m MODULE`` on the pod's address, with its termination log."""
    return Image((sys.executable, "-P", str(SANDBOX), module), env)


def find_image(images: Mapping[str, Image], reference: str) -> Image | None:
    """By the end of the repository's name: registry, tag and digest do not matter here."""
    repository = re.sub(r"(:[^:/]*)?(@.*)?$", "", reference)
    return next((image for name, image in images.items() if f"/{repository}".endswith(f"/{name}")), None)
