"""The prepared copy of the transformer: which one a server may take, by receipts and stats alone.

A copy is bound to the digests of its models, to the files that were read, to the type and to the format of its files;
so one of anything else is another copy, and never found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.generation import PreparedCopy
from inference.multitalk import PREPARED_FORMAT
from init_sync.app.specfile import read_manifest
from init_sync.core.errors import SyncError
from init_sync.core.spec import Manifest
from init_sync.volume.check import changes
from init_sync.volume.prepared import Recipe, load_copy, recipe_of
from init_sync.volume.receipts import all_receipts
from init_sync.volume.volume import Volume


def recipe_for(volume: Volume, manifest: Manifest, root: Path, files: Sequence[Path], dtype: str) -> Recipe | None:
    """None where one of the files belongs to no model of the manifest; the last one has the audio layers."""
    paths = [path.relative_to(root).as_posix() for path in files]
    name = f"{paths[-1].rpartition('/')[0]}-{dtype}"
    return recipe_of(volume, manifest, name, f"transformer-{dtype}-{PREPARED_FORMAT}", paths)


def find_copy(spec: Path, root: Path, dtype: str, files: Sequence[Path]) -> PreparedCopy:
    """The copy that was made of these files as they are now."""
    try:
        return _find(Volume(str(root)), read_manifest(str(spec)), root, dtype, files)
    except (OSError, SyncError) as error:
        return PreparedCopy(reason=f"looking for it: {error}")


def _find(volume: Volume, manifest: Manifest, root: Path, dtype: str, files: Sequence[Path]) -> PreparedCopy:
    recipe = recipe_for(volume, manifest, root, files, dtype)
    receipt = load_copy(volume, recipe) if recipe else None
    if receipt is None:
        others = any(each.prepared_from for each in all_receipts(volume))
        return PreparedCopy(reason=f"none on the volume is of these models as they are, in {dtype}" if others else "")
    if changed := changes(volume, receipt):
        return PreparedCopy(reason=f"{changed[0]} is not as its receipt says. Prepare it again")
    return PreparedCopy(tuple(root / file.path for file in receipt.files))
