"""`make chart`: lints the chart and packages it into dist/chart; `make chart-push` also pushes it.

The chart in the repository asks for images without a registry. A packaged one asks for those that were pushed with it:

    IMAGE_PREFIX  becomes the default of the value imageRegistry (default: none)
    HELM          the program (default: helm)

The only argument is a registry to push to, such as oci://registry.example/charts. Logging in is the caller's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from build_images import ROOT, read_prefix

CHART = ROOT / "charts/modelcache"
OUT = ROOT / "dist/chart"
DEFAULT = '\nimageRegistry: ""\n'


def with_registry(values: str, registry: str) -> str:
    """values.yaml with another default; the text is changed, because comments are part of a packaged chart."""
    if values.count(DEFAULT) != 1:
        raise ValueError(f"values.yaml holds {DEFAULT.strip()!r} {values.count(DEFAULT)} times, not once")
    return values.replace(DEFAULT, f'\nimageRegistry: "{registry}"\n')


def package(helm: str, registry: str, out: Path) -> None:
    """From a copy, so that the tree stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(CHART, Path(folder) / CHART.name))
        values = copy / "values.yaml"
        values.write_text(with_registry(values.read_text(), registry))
        subprocess.run([helm, "lint", "--strict", str(copy)], check=True)
        subprocess.run([helm, "package", str(copy), "--destination", str(out)], check=True)


def main(registries: Sequence[str]) -> int:
    helm = os.environ.get("HELM") or "helm"
    version = (ROOT / "VERSION").read_text().strip()
    try:
        package(helm, read_prefix(os.environ).rstrip("/"), OUT)
        for registry in registries:
            subprocess.run([helm, "push", str(OUT / f"modelcache-{version}.tgz"), registry.lower()], check=True)
    except subprocess.CalledProcessError as error:
        print(f"chart: error: {' '.join(error.cmd)} failed", file=sys.stderr)
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
