"""What a copy of pinned commits has already: how much an update costs, told without its volume."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from init_sync.core.copy_pins import Pin
from init_sync.core.requirement import Requirement
from init_sync.hub.api import Hub
from init_sync.sync.plan import Action

log = logging.getLogger(__name__)


def held_by_pins(hub: Hub, requirements: Iterable[Requirement], pins: Mapping[str, Pin]) -> dict[str, Action]:
    """KEEP by path, for files that are the same in the pinned commit of their model.

    Pins name one commit for each model. So of a ``oneOf`` what comes from another revision is taken for held.

    Raises:
        TryAgain: the hub stayed away.
        NeedsChange: it refuses.
    """
    actions: dict[str, Action] = {}
    for requirement in requirements:
        pin = pins.get(requirement.model.name)
        if pin is None:
            continue
        known = _files_at(hub, requirement, pin.commit)
        for file in requirement.files:
            if file.commit != requirement.commit or (file.source, file.content_id) in known:
                actions[file.path] = Action.KEEP
    return actions


def _files_at(hub: Hub, requirement: Requirement, commit: str) -> set[tuple[str, str]]:
    if commit == requirement.commit:
        return {(file.source, file.content_id) for file in requirement.files}
    listing = hub.find(requirement.model.repo, commit)
    if listing is None:
        name, repo = requirement.model.display_name, requirement.model.repo
        log.warning("%s: %s has no commit %s any more; every file counts as new", name, repo, commit[:12])
        return set()
    return {(file.path, file.content_id) for file in listing.files}
