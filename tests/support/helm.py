"""Helm as tests call it: render the chart, lint it, install it; nothing of the user's own Helm is read or written."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
CHART = Path(__file__).parents[2] / "charts/modelcache"
TIMEOUT_S = 50


class HelmRefused(Exception):
    """Helm ended with an error; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Release:
    """What ``helm template`` is told."""

    values: Mapping[str, Any] = field(default_factory=dict)
    name: str = "multitalk"
    namespace: str = "models"
    api_versions: tuple[str, ...] = ()


class Helm:
    """One program."""

    def __init__(self, program: Path, home: Path) -> None:
        self._program = program
        self._environment = {**os.environ, "HOME": str(home), "KUBECONFIG": str(home / "none")}
        for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"):
            self._environment[name] = str(home / name.lower())

    def render(self, release: Release) -> list[Json]:
        """All objects, tests and custom resource definitions too."""
        apis = [f"--api-versions={each}" for each in release.api_versions]
        arguments = ["template", release.name, str(CHART), "--namespace", release.namespace, "--include-crds", *apis]
        text = self.run(*arguments, values=release.values)
        return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]

    def lint(self, release: Release) -> str:
        return self.run("lint", "--strict", str(CHART), "--namespace", release.namespace, values=release.values)

    def run(self, *arguments: str, values: Mapping[str, Any] | None = None, kubeconfig: Path | None = None) -> str:
        """What it printed.

        Raises:
            HelmRefused: when it failed.
        """
        environment = {**self._environment, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(dict(values or {}), file)  # YAML too, and without doubt which texts look like numbers
            file.flush()
            given = ["--values", file.name] if values is not None else []
            command = [str(self._program), *arguments, *given]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        if done.returncode:
            raise HelmRefused(done.stderr + done.stdout)
        return done.stdout
