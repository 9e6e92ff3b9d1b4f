"""A small program that makes a prepared copy: the files of all models that are there, each with its bytes reversed.

It stands for ``multitalk-server prepare`` where what is in the files does not matter: no torch, and any models will do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inference.server.prepared_copy.hashed_files import Part
from inference.server.prepared_copy.preparation import Preparation
from init_sync.app.specfile import read_manifest
from init_sync.core.errors import SyncError
from init_sync.core.spec import Manifest
from init_sync.volume.lock import LockTimings
from init_sync.volume.prepared import recipe_of
from init_sync.volume.receipts import load_receipt
from init_sync.volume.volume import Volume

PROGRAM = "support.preparing"
FAST = LockTimings(poll_s=0.001)


def run(arguments: Sequence[str]) -> int:
    """Exit codes are those of ``multitalk-server prepare``; 3: no model is there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb")
    parser.add_argument("--spec")
    parser.add_argument("--volume")
    options = parser.parse_args(arguments)
    made = preparation(Volume(options.volume), read_manifest(options.spec))
    if made is None:
        return 3
    if made.is_done():
        print("already prepared")
        return 0
    try:
        made.run()
    except SyncError as error:
        print(error)
        return error.exit_code
    return 0


def preparation(volume: Volume, manifest: Manifest, timings: LockTimings = FAST) -> Preparation | None:
    receipts = [load_receipt(volume, each) for each in manifest.models]
    files = sorted(file.path for receipt in receipts if receipt for file in receipt.files)
    recipe = recipe_of(volume, manifest, "all", "reversed-1", files)
    if not files or recipe is None:
        return None
    parts = [
        Part(f"part-{number}", ".bin", volume.stat(path).st_size, partial(_reversed, volume, path))
        for number, path in enumerate(files, 1)
    ]
    return Preparation(manifest, volume, recipe, parts, lambda _: None, timings)


def prepare(spec: Mapping[str, Any], volume: Path) -> int:
    """The exit code of a run in this process."""
    path = volume.parent / f"{volume.name}.{spec['metadata']['name']}.json"
    path.write_text(json.dumps(spec))
    return run(["prepare", "--spec", str(path), "--volume", str(volume)])


def _reversed(volume: Volume, path: str) -> Iterator[bytes]:
    """In two pieces."""
    content = (Path(volume.root) / path).read_bytes()[::-1]
    half = len(content) // 2
    yield content[:half]
    yield content[half:]
