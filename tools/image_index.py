"""`make image-index`: one name for the images of all architectures, which are built and pushed one by one.

    registry.example/team/modelcache/operator:0.2.0-amd64  --+
    registry.example/team/modelcache/operator:0.2.0-arm64  --+-->  registry.example/team/modelcache/operator:0.2.0

The registry does it; nothing is pulled. SBOM and provenance of each image stay with it.

    IMAGE_PREFIX  where the images are
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from build_images import IMAGES, ROOT, read_prefix

ARCHITECTURES = ("amd64", "arm64")


def commands(prefix: str, version: str, architectures: Sequence[str]) -> list[list[str]]:
    """One call of docker for each image."""
    names = [f"{prefix}modelcache/{image.name}:{version}" for image in IMAGES]
    return [
        ["docker", "buildx", "imagetools", "create", "--tag", name, *(f"{name}-{each}" for each in architectures)]
        for name in names
    ]


def main(architectures: Sequence[str]) -> int:
    version = (ROOT / "VERSION").read_text().strip()
    for command in commands(read_prefix(os.environ), version, architectures or ARCHITECTURES):
        if code := subprocess.run(command, check=False).returncode:
            print(f"image-index: error: {' '.join(command)} failed", file=sys.stderr)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
