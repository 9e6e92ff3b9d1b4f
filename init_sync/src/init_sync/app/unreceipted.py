"""What can be said offline about a model without a receipt: pins tell what it needs, stats what is there."""

from __future__ import annotations

import os

from init_sync.app.tracker import ModelState
from init_sync.core.errors import NeedsChange
from init_sync.core.formatting import listed
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Requirement, choose, require
from init_sync.core.spec import Model
from init_sync.volume.inspection import linked_places
from init_sync.volume.layout import Volume
from init_sync.volume.partial import kept_bytes
from init_sync.volume.pins import load_pin


def describe(volume: Volume, state: ModelState) -> None:
    """Fill in totals, what is there, and the reason why the model is not complete."""
    requirement = pinned_requirement(volume, state.model)
    if requirement is None:
        _unknown(volume, state)
        return
    missing: list[str] = []
    wrong_size: list[str] = []
    state.sizes = {file.path: file.size for file in requirement.files}
    state.commit = requirement.commit
    state.chosen = requirement.chosen
    state.present, state.whole = {}, set()
    for file in requirement.files:
        found = _size(volume, file.path)
        if found == file.size:
            state.present[file.path] = found
            state.whole.add(file.path)
            continue
        state.present[file.path] = kept_bytes(volume, file.content_id, file.size)
        (missing if found is None else wrong_size).append(file.path)
    if wrong_size:
        state.problem(Reason.SIZE_MISMATCH, f"wrong size: {listed(wrong_size, 3)}")
    elif missing:
        state.problem(Reason.FILE_MISSING, f"missing: {listed(missing, 3)}")
    else:
        state.problem(Reason.NOT_VERIFIED, "all files are there, but their content has not been verified")


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
            is_whole=lambda alternative, file: _size(volume, f"{model.path}/{alternative.file}") == file.size,
        )
        return require(model, listing, choice, linked_places(volume, except_for={model.path}))
    except NeedsChange:
        return None


def _unknown(volume: Volume, state: ModelState) -> None:
    try:
        there = os.listdir(volume.at(state.model.path))
    except OSError:
        there = []
    if there:
        state.problem(Reason.NOT_VERIFIED, f"{state.model.path} has files, but none of them has been verified")
    else:
        state.problem(Reason.FILE_MISSING, f"nothing is in {state.model.path} yet")


def _size(volume: Volume, path: str) -> int | None:
    try:
        return os.stat(volume.at(path)).st_size
    except OSError:
        return None
