"""Programs that the demo calls: Helm, which it needs, and kubectl, which it can do without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class MissingTool(Exception):
    """Says what to install."""


def find_helm() -> str:
    beside = Path(sys.executable).with_name("helm")
    found = os.environ.get("HELM") or (str(beside) if beside.exists() else shutil.which("helm"))
    if found is None:
        raise MissingTool(
            "finding helm: there is none in .venv/bin nor on PATH. Install Helm 3.14 or newer, or set HELM"
        )
    return found


def find_kubectl() -> str | None:
    return shutil.which("kubectl")


def call(arguments: list[str], env: Mapping[str, str]) -> str:
    """Raises RuntimeError with the program's own words when it fails."""
    done = subprocess.run(arguments, env=dict(env), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout
