"""Gathering what a plan is made of: requirements from the hub, and what the volume has of them.

``init-sync plan`` stops here; it writes nothing and tries nothing. ``sync`` also lets the file system be tried first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from init_sync.core.copy_pins import Pin
from init_sync.core.errors import NeedsChange
from init_sync.core.listing import Listing
from init_sync.core.model_check import ModelCheck
from init_sync.core.receipt import ReceiptFile
from init_sync.core.requirement import Requirement
from init_sync.core.spec import Manifest, Model
from init_sync.hub.api import Hub
from init_sync.hub.peers import Peers
from init_sync.sync.adopt import move_to_their_paths, survey
from init_sync.sync.anchors import checksums_by_content, refuse_required
from init_sync.sync.compare import held_by_pins
from init_sync.sync.plan import Action, SyncPlan, places, plan_sync
from init_sync.sync.resolve import Resolver
from init_sync.volume.conflicts import Conflict, find_conflicts
from init_sync.volume.hashing import Hooks
from init_sync.volume.links import existing_link
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.partial import kept_by_content
from init_sync.volume.probe import FileSystem
from init_sync.volume.receipts import linked_paths, unchanged_files
from init_sync.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is required, what is known of it, and the plan that follows."""

    requirements: tuple[Requirement, ...]
    known: Mapping[str, ReceiptFile]
    """Files that need no hashing, by path."""
    actions: Mapping[str, Action]
    plan: SyncPlan
    checksums: Mapping[str, str]
    """SHA-256 by content id, as far as receipts tell."""
    pins: Sequence[tuple[Model, str, Listing]]
    """To be written once the anchors of their models hold."""


def prepare(
    manifest: Manifest,
    volume: Volume | None,
    hub: Hub,
    checks: Mapping[str, ModelCheck],
    *,
    deep: bool = False,
    refresh: bool = False,
    copy_pins: Mapping[str, Pin] | None = None,
    held: Mapping[str, Pin] | None = None,
    peers: Peers | None = None,
    file_system: FileSystem | None = None,
    hooks: Hooks,
) -> Prepared:
    """The plan for every model that is not complete, and with ``refresh`` for all.

    Args:
        volume: None for a volume that does not exist yet.
        copy_pins: of another copy, by model; peers may list what they pin.
        held: without a volume, the pins of a copy that has their content already.
        file_system: what a trial of the volume showed; None leaves the volume as it is, pins included.

    Raises:
        NeedsChange: a model that cannot be had or has another digest than its anchor, or files that cannot lie side
            by side.
        TryAgain: the hub stayed away.
    """
    known = _known(volume, checks, deep)
    checksums = checksums_by_content(known.values())
    wanted = {name: check for name, check in checks.items() if refresh or not check.complete}
    writes = file_system is not None
    taken = linked_paths(volume, except_for={model.path for model in manifest.models}) if volume else ()
    resolver = Resolver(
        volume, hub, known=known, taken=taken, refresh=refresh, pins=copy_pins, peers=peers, writes=writes, hooks=hooks
    )
    requirements = resolver.resolve(manifest, wanted)
    refuse_required(requirements, checksums)
    conflicts: Sequence[Conflict] = ()
    actions: Mapping[str, Action] = held_by_pins(hub, requirements, held) if held else {}
    if volume:
        placed = places(checks, requirements)
        conflicts = find_conflicts(volume, placed, file_system or FileSystem())
        if writes and not conflicts:
            owned = OwnedFiles(volume, manifest.name)
            move_to_their_paths(volume, requirements, owned, hooks)
            owned.close()
        actions = {**survey(volume, requirements, known), **_links_in_place(volume, requirements)}
    plan = _plan(manifest, volume, checks, requirements, actions, file_system)
    plan = replace(plan, conflicts=tuple(conflicts))
    return Prepared(tuple(requirements), known, actions, plan, checksums, resolver.pins)


def plan_again(
    manifest: Manifest,
    volume: Volume,
    checks: Mapping[str, ModelCheck],
    prepared: Prepared,
    verified: Mapping[str, ReceiptFile],
    file_system: FileSystem,
) -> SyncPlan:
    """The plan once it is known which files that were there have the right content."""
    actions = {path: action for path, action in prepared.actions.items() if action is Action.KEEP or path in verified}
    return _plan(manifest, volume, checks, prepared.requirements, actions, file_system)


def refuse_conflicts(plan: SyncPlan) -> None:
    """Raises NeedsChange with the first conflict, and how many there are."""
    if plan.conflicts:
        first, more = plan.conflicts[0], len(plan.conflicts) - 1
        others = f" (and {more} more)" if more else ""
        raise NeedsChange(first.reason, f"placing {first.message}{others}", first.model)


def _plan(
    manifest: Manifest,
    volume: Volume | None,
    checks: Mapping[str, ModelCheck],
    requirements: Sequence[Requirement],
    actions: Mapping[str, Action],
    file_system: FileSystem | None,
) -> SyncPlan:
    missing = {file.content_id: file.size for each in requirements for file in each.files if file.path not in actions}
    kept = kept_by_content(volume, missing) if volume else {}
    has_links = file_system is None or file_system.has_links
    return plan_sync(manifest.name, checks, requirements, actions, kept, has_links=has_links)


def _known(volume: Volume | None, checks: Mapping[str, ModelCheck], deep: bool) -> dict[str, ReceiptFile]:
    """Files that were looked at just now, or (but in a deep run) that a receipt vouches for."""
    known = {} if deep or volume is None else unchanged_files(volume)
    for check in checks.values():
        if check.receipt:
            known.update((file.path, file) for file in check.receipt.files_with_times() if file.path in check.valid)
    return known


def _links_in_place(volume: Volume, requirements: Sequence[Requirement]) -> dict[str, Action]:
    found: dict[str, Action] = {}
    for requirement in requirements:
        sources = {file.source: file.path for file in requirement.files}
        for link in requirement.model.links:
            if existing_link(volume, sources[link.file], link.at):
                found[link.at] = Action.KEEP
    return found
