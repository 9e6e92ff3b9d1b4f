"""``init-sync sums``: the SHA256SUMS text of each model, from receipts alone: no network, and nothing is hashed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from init_sync.app.arguments import Sums
from init_sync.app.specfile import read_manifest
from init_sync.core.digest import sums_text
from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt
from init_sync.core.spec import Manifest, Model
from init_sync.shell.formatting import listed, printable
from init_sync.volume.check import changes, find_reason
from init_sync.volume.receipts import load_receipt
from init_sync.volume.volume import Volume, volume_problem


def sums(options: Sums) -> int:
    """Print the texts of models that are as their receipts say; returns 1 when a model is not complete.

    Raises:
        NeedsChange: there is no such model or volume.
    """
    manifest = read_manifest(options.spec)
    models = _selected(manifest, options.model)
    volume = Volume(options.volume)
    if problem := volume_problem(volume):
        raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
    code = 0
    for model in models:
        receipt = load_receipt(volume, model)
        problem = _unknown(volume, receipt)
        if problem or receipt is None:
            code = _complain(model, problem)
            continue
        _print(model, receipt, headed=len(models) > 1)
        reason, message = find_reason(model, receipt, [], manifest.allow_pickles)
        if reason:
            code = _complain(model, f"{reason}: {message}")
    return code


def _selected(manifest: Manifest, name: str | None) -> Sequence[Model]:
    models = [model for model in manifest.models if name in (None, model.name)]
    if not models:
        known = listed([model.name for model in manifest.models])
        raise NeedsChange(Reason.INVALID_SPEC, f"--model {name}: the manifest has no such model. It has {known}")
    return models


def _unknown(volume: Volume, receipt: Receipt | None) -> str:
    """Why the text of a model is not known, in words; empty when it is."""
    if receipt is None:
        return "it has no receipt. Run sync"
    if changed := changes(volume, receipt):
        return f"{listed(changed, 3)} changed since the receipt was written. Run verify or sync"
    return "" if receipt.digest else "its receipt of version 0.1.0 lacks the SHA-256 of small files. Run sync"


def _print(model: Model, receipt: Receipt, headed: bool) -> None:
    """As bytes: whatever encoding the terminal has, a digest is made of these very bytes."""
    heading = f"# {model.name}  {model.path}\n" if headed else ""
    sys.stdout.flush()
    sys.stdout.buffer.write((heading + sums_text(receipt.checksums() or {})).encode())


def _complain(model: Model, problem: str) -> int:
    print(f"init-sync: {model.name} is not complete: {printable(problem)}", file=sys.stderr)
    return 1
