"""Version 0.1.0 itself, its code taken from the repository's history, run with the libraries that are installed.

What of it can be told without its code is in ``release_0_1_0``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.surroundings import neutral

ROOT = Path(__file__).parents[2]
COMMIT = "13a2ab9636a11ef7bbe0ec154e4c09eee70290e6"
"""The last one of 0.1.0."""
PARTS = ("init_sync/src", "operator/src", "charts/modelcache/crds")
STOP_S = 20


class NoHistory(Exception):
    """The checkout does not reach back to it."""


@dataclass(frozen=True, slots=True)
class FirstRelease:
    """Its tree, as far as ``PARTS`` go."""

    folder: Path

    @classmethod
    def unpacked(cls, folder: Path) -> FirstRelease:
        done = subprocess.run(["git", "archive", COMMIT, *PARTS], cwd=ROOT, capture_output=True, check=False)
        if done.returncode:
            raise NoHistory(f"no commit {COMMIT[:7]} here: git fetch --unshallow. {done.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """With it, ``python -m init_sync`` and ``python -m modelcache_operator`` are those of 0.1.0."""
        return {"PYTHONPATH": os.pathsep.join(str(self.folder / part) for part in PARTS[:2])}

    @property
    def definition(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / PARTS[2] / "modelcaches.yaml").read_text())
        return found

    @contextmanager
    def operator(self, kubeconfig: Path, namespace: str, log: Path) -> Iterator[None]:
        """It serves one namespace until the block is left."""
        command = [
            *(sys.executable, "-m", "modelcache_operator", "--kubeconfig", str(kubeconfig), "--namespace", namespace),
            *("--health-port", "0", "--metrics-port", "0", "--identity", "test-operator", "--lease-seconds", "4"),
        ]
        with log.open("ab") as output:
            environment = neutral(os.environ) | self.environment
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(STOP_S)
