"""`make sbom`: writes a CycloneDX 1.6 bill of materials of each image, from what the Dockerfiles install.

    dist/sbom/init-sync.cdx.json
    dist/sbom/operator.cdx.json
    dist/sbom/inference-cpu.cdx.json     one for each variant of torch
    dist/sbom/inference-cuda.cdx.json

Components are the base image with its digest, our own distributions, and each locked package that applies to Linux and
the Python of the base, with the SHA-256 of every file that pip would accept. The same tree gives the same bytes: there
is no serial number and no timestamp. Debian's packages belong to the base and are not listed; docs/images.md says how.

    BASE  the base image, where `make images` was given another one
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from build_images import IMAGES, ROOT, base_image

ENTRY = re.compile(r"^(\S+==.*?)((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
HASH = re.compile("sha256:([0-9a-f]{64})")
MACHINES = ("x86_64", "aarch64")
LOCKS = {
    "init-sync": ("init_sync",),
    "operator": ("operator",),
    "inference-cpu": ("inference", "torch-cpu"),
    "inference-cuda": ("inference", "torch-cuda"),
}


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of a lock."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        return specifier.version

    def applies(self, python: str) -> bool:
        """Whether it is installed in an image for one of our platforms."""
        marker = self.requirement.marker
        here = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
        here |= {"python_version": python.rpartition(".")[0], "python_full_version": python}
        return marker is None or any(marker.evaluate({**here, "platform_machine": machine}) for machine in MACHINES)

    def component(self) -> dict[str, Any]:
        name = self.requirement.name
        return {
            "type": "library",
            "name": name,
            "version": self.version,
            "purl": f"pkg:pypi/{name}@{self.version.replace('+', '%2B')}",
            "hashes": [_sha256(content) for content in self.hashes],
        }


def read_lock(name: str) -> list[Pin]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return [Pin(Requirement(line), tuple(HASH.findall(hashes))) for line, hashes in ENTRY.findall(text)]


def bill(locks: Sequence[str], base: str, version: str) -> dict[str, Any]:
    """Of the image whose lock comes first."""
    (image,) = [image for image in IMAGES if image.folder == locks[0]]
    python = re.findall(r":(\d+\.\d+\.\d+)", base_image())[0]
    pins = {pin.requirement.name: pin for lock in locks for pin in read_lock(lock) if pin.applies(python)}
    ours = dict.fromkeys([IMAGES[0].name, image.name])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": f"modelcache/{image.name}", "version": version}},
        "components": [
            _base_component(base),
            *({"type": "library", "name": f"modelcache-{name}", "version": version} for name in ours),
            *(pins[name].component() for name in sorted(pins)),
        ],
    }


def _base_component(reference: str) -> dict[str, Any]:
    name, _, digest = reference.partition("@sha256:")
    repository, tag = re.findall(r"^(.+?)(?::([^/:]+))?$", name)[0]
    return {
        "type": "container",
        "name": repository,
        "version": tag or digest,
        "hashes": [_sha256(digest)] if digest else [],
    }


def _sha256(content: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": content}


def write(folder: Path) -> Iterator[str]:
    """Every bill; says what it wrote."""
    version = (ROOT / "VERSION").read_text().strip()
    folder.mkdir(parents=True, exist_ok=True)
    for name, locks in LOCKS.items():
        document = bill(locks, os.environ.get("BASE") or base_image(), version)
        path = folder / f"{name}.cdx.json"
        path.write_text(json.dumps(document, indent=2) + "\n")
        yield f"{path}: {len(document['components'])} components"


if __name__ == "__main__":
    for line in write(ROOT / "dist/sbom"):
        print(line)
