"""``init-sync plan``: what a sync would do. Nothing is written to the volume, and nothing is tried on it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from typing import Any

from init_sync.app.arguments import Plan
from init_sync.app.progress_display import set_up_log
from init_sync.app.report_file import leave_text
from init_sync.app.specfile import read_manifest, read_pins
from init_sync.app.table import plan_table
from init_sync.core.anchor import refuse_checked
from init_sync.core.copy_pins import Pin
from init_sync.core.errors import NeedsChange, SyncError
from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.report import TERMINATION_MESSAGE_BYTES, refused_report
from init_sync.core.settings import Settings
from init_sync.core.spec import Manifest
from init_sync.hub.api import Hub
from init_sync.shell.log_settings import LogSettings
from init_sync.sync.plan import SyncPlan
from init_sync.sync.prepare import prepare, refuse_conflicts
from init_sync.sync.progress import Progress
from init_sync.sync.space import room_problem
from init_sync.volume.check import check_all
from init_sync.volume.hashing import SILENT
from init_sync.volume.volume import Volume, volume_problem


def plan(options: Plan) -> int:
    """Print the plan; returns 0. The report is written in any case.

    Raises:
        NeedsChange: a model that cannot be had or has another digest than its anchor, a conflict, or no room; the plan
            is printed before the latter two.
        TryAgain: the hub did not answer.
    """
    set_up_log(LogSettings(), sys.stderr)
    manifest: Manifest | None = None
    found: SyncPlan | None = None
    try:
        manifest = read_manifest(options.spec)
        volume = Volume(options.volume) if options.volume else None
        held = read_pins("--compare-to", options.compare_to) if options.compare_to else {}
        found = make_plan(manifest, volume, refresh=options.refresh, held=held)
        print(_text(found.to_json()) if options.json else plan_table(found))
        refuse_conflicts(found)
        if volume and (problem := room_problem(volume, found)):
            raise NeedsChange(Reason.DISK_FULL, f"checking {volume.root}: {problem}")
    except SyncError as error:
        leave_text(fit(found, error) if found else _refused(manifest, error), options.report)
        raise
    leave_text(fit(found), options.report)
    return 0


def _refused(manifest: Manifest | None, error: SyncError) -> str:
    """The report of a sync that was refused in the same way."""
    if manifest is None:
        return refused_report(error).fit(TERMINATION_MESSAGE_BYTES - 1)
    progress = Progress(manifest)
    progress.failed(error)
    return progress.report().fit(TERMINATION_MESSAGE_BYTES - 1)


def make_plan(
    manifest: Manifest, volume: Volume | None, *, refresh: bool = False, held: Mapping[str, Pin] | None = None
) -> SyncPlan:
    """What a sync of this volume would do now; without a volume, of an empty one, or one that has what pins name."""
    if volume and (problem := volume_problem(volume)):
        raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}. Leave --volume out to plan without one")
    if volume:
        checks = check_all(volume, manifest)
    else:
        checks = {model.name: ModelCheck(model, Reason.FILE_MISSING) for model in manifest.models}
    if not refresh:
        refuse_checked(checks.values())
    hub = Hub(Settings(), threading.Event(), on_error=lambda _: None)
    return prepare(manifest, volume, hub, checks, refresh=refresh, held=held, hooks=SILENT).plan


def fit(plan: SyncPlan, error: SyncError | None = None, limit: int = TERMINATION_MESSAGE_BYTES - 1) -> str:
    """The plan as JSON of at most ``limit`` bytes: without files, then names and bytes of models, then totals alone.

    ``error``: why it cannot be carried out.
    """
    data = plan.to_json(with_files=False)
    if error:
        data |= {"reason": error.reason, "message": error.message[:500]}
    short = [{"name": model["name"], "bytesToFetch": model["bytesToFetch"]} for model in data["models"]]
    conflicts = [message[:200] for message in data["conflicts"][:3]]
    for shortened in (
        data,
        {**data, "models": short, "conflicts": conflicts},
        {**data, "models": [], "conflicts": conflicts},
    ):
        text = _text(shortened)
        if len(text.encode()) <= limit:
            break
    return text


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace").decode()
