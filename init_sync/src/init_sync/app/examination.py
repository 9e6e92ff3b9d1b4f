"""How complete every model is, from the volume alone: receipts, pins and stats; no network.

This is all that a warm start does, so it imports nothing that it can do without.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from init_sync.app.tracker import ModelState, Tracker
from init_sync.core.formatting import listed
from init_sync.core.reasons import Reason
from init_sync.core.spec import Model
from init_sync.core.volumepath import is_pickle
from init_sync.volume.contents import OnBytes
from init_sync.volume.inspection import Finding, Inspection, inspect, load_receipt
from init_sync.volume.layout import Volume, write_json


def examine_all(
    volume: Volume,
    tracker: Tracker,
    *,
    deep: bool = False,
    on_bytes: OnBytes = None,
    stop: threading.Event | None = None,
) -> dict[str, Inspection]:
    """Examine every model; returns what was found by model name, for those that have a receipt."""
    inspections: dict[str, Inspection] = {}
    for state in tracker.states.values():
        inspection = examine(volume, state, tracker.manifest.allow_pickles, deep=deep, on_bytes=on_bytes, stop=stop)
        if inspection:
            inspections[state.model.name] = inspection
    return inspections


def examine(
    volume: Volume,
    state: ModelState,
    allow_pickles: bool,
    *,
    deep: bool = False,
    on_bytes: OnBytes = None,
    stop: threading.Event | None = None,
) -> Inspection | None:
    """Bring ``state`` up to date with the volume."""
    receipt = load_receipt(volume, state.model)
    if receipt is None:
        _without_receipt(volume, state)
        return None
    inspection = inspect(volume, receipt, deep=deep, on_bytes=on_bytes, stop=stop)
    state.take_receipt(inspection.receipt, inspection.whole)
    pickles = [] if allow_pickles else [file.path for file in receipt.files if is_pickle(file.path)]
    if inspection.findings:
        first = inspection.findings[0]
        state.problem(first.reason, summary(inspection.findings))
    elif pickles:
        state.problem(
            Reason.PICKLE_REFUSED, f"{listed(pickles, 3)} can run code when loaded and spec.allowPickles is false"
        )
    else:
        state.completed()
        _remember_times(volume, state.model, inspection)
    return inspection


def summary(findings: tuple[Finding, ...] | list[Finding]) -> str:
    """Findings in one line, the first few by name."""
    return listed([f"{finding.path}: {finding.message}" for finding in findings], most=3)


def _remember_times(volume: Volume, model: Model, inspection: Inspection) -> None:
    """Files that were touched but are right need not be hashed again next time; a read-only volume is no obstacle."""
    if inspection.touched:
        with suppress(OSError):
            write_json(volume, volume.receipt(model), inspection.receipt.to_json())


def _without_receipt(volume: Volume, state: ModelState) -> None:
    from init_sync.app.unreceipted import describe  # not needed on a warm start

    describe(volume, state)


def volume_problem(volume: Volume) -> str | None:
    """Why the volume cannot be used at all, in words."""
    if not os.path.exists(volume.root):
        return f"{volume.root} does not exist; mount the volume there or create the directory"
    if not os.path.isdir(volume.root):
        return f"{volume.root} is not a directory"
    return None
