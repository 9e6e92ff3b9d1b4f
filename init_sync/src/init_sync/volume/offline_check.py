"""What can be said offline about a model without a receipt: pins tell what it needs, stats what is there."""

from __future__ import annotations

from init_sync.core.errors import NeedsChange
from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Requirement, choose, require
from init_sync.core.spec import Model
from init_sync.shell.formatting import listed
from init_sync.volume.partial import kept_bytes
from init_sync.volume.pins import load_pin
from init_sync.volume.receipts import linked_paths
from init_sync.volume.volume import Volume


def check_without_receipt(volume: Volume, model: Model) -> ModelCheck:
    """Totals, what is there, and the reason why the model is not complete."""
    requirement = pinned_requirement(volume, model)
    if requirement is None:
        return _unknown(volume, model)
    found = {file.path: _size(volume, file.path) for file in requirement.files}
    valid = frozenset(file.path for file in requirement.files if found[file.path] == file.size)
    wrong_size = [path for path, size in found.items() if size is not None and path not in valid]
    missing = [path for path, size in found.items() if size is None]
    if wrong_size:
        reason, message = Reason.SIZE_MISMATCH, f"wrong size: {listed(wrong_size, 3)}"
    elif missing:
        reason, message = Reason.FILE_MISSING, f"missing: {listed(missing, 3)}"
    else:
        reason, message = Reason.NOT_VERIFIED, "all files are there, but their content has not been verified"
    return ModelCheck(
        model,
        reason,
        message,
        sizes={file.path: file.size for file in requirement.files},
        present={
            file.path: file.size if file.path in valid else kept_bytes(volume, file.content_id, file.size)
            for file in requirement.files
        },
        valid=valid,
        commit=requirement.commit,
        chosen=requirement.chosen,
    )


def pinned_requirement(volume: Volume, model: Model) -> Requirement | None:
    """What the model needs according to the pins on the volume; None when they do not tell."""
    listing = load_pin(volume, model, model.revision)
    if listing is None:
        return None
    try:
        choice = choose(
            model,
            lambda revision: load_pin(volume, model, revision),
            on_volume=lambda alternative: _size(volume, f"{model.path}/{alternative.file}") is not None,
            is_valid=lambda alternative, file: _size(volume, f"{model.path}/{alternative.file}") == file.size,
        )
        return require(model, listing, choice, linked_paths(volume, except_for={model.path}))
    except NeedsChange:
        return None


def _unknown(volume: Volume, model: Model) -> ModelCheck:
    try:
        names = volume.names(model.path)
    except OSError as error:
        return ModelCheck(model, Reason.FILE_MISSING, f"{model.path} cannot be read: {error.strerror or error}")
    if names:
        reason, message = Reason.NOT_VERIFIED, f"{model.path} has files, but none of them has been verified"
    else:
        reason, message = Reason.FILE_MISSING, f"nothing is in {model.path} yet"
    return ModelCheck(model, reason, message)


def _size(volume: Volume, path: str) -> int | None:
    try:
        return volume.stat(path).st_size
    except OSError:
        return None
