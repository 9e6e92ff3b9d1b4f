"""From models that are not complete to what each of them needs: revisions resolved and pinned, alternatives chosen."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping

from init_sync.core.errors import NeedsChange
from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.core.requirement import Choice, Requirement, choose, refuse_collisions, refuse_pickles, require
from init_sync.core.spec import Alternative, Manifest, Model
from init_sync.hub.api import Hub
from init_sync.volume.contents import file_matches
from init_sync.volume.layout import Volume
from init_sync.volume.pins import load_pin, store_pin

log = logging.getLogger(__name__)


class Planner:
    """Resolves and lists; keeps pins on the volume so that the next run works on the same commits."""

    def __init__(
        self, volume: Volume, hub: Hub, known: Mapping[str, ReceiptFile], taken: Collection[str], refresh: bool
    ) -> None:
        self._volume = volume
        self._hub = hub
        self._known = known
        self._taken = taken
        self._refresh = refresh
        self._fresh: dict[tuple[str, str], Listing | None] = {}

    def plan(self, manifest: Manifest, models: list[Model], receipts: Mapping[str, Receipt]) -> list[Requirement]:
        """What each model needs.

        Raises:
            NeedsChange: naming every model whose plan fails for good, before a byte is fetched for any of them.
            TryAgain: the hub stayed away.
        """
        requirements: list[Requirement] = []
        refused: list[NeedsChange] = []
        for model in models:
            try:
                requirement = self._plan(model, receipts.get(model.name))
                if not manifest.allow_pickles:
                    refuse_pickles(requirement)
                requirements.append(requirement)
            except NeedsChange as error:
                error.model = model.name
                refused.append(error)
        if refused:
            raise together(refused)
        refuse_collisions(requirements)
        return requirements

    def _plan(self, model: Model, receipt: Receipt | None) -> Requirement:
        listing = self._list(model, model.revision, receipt)
        if listing is None:
            listing = self._hub.listing(model.repo, model.revision)  # raises: there is no such revision
        choice = choose(
            model,
            lambda revision: self._list(model, revision, receipt),
            on_volume=lambda alternative: os.path.isfile(self._place(model, alternative)),
            is_whole=lambda alternative, file: self._is_whole(model, alternative, file),
        )
        if choice:
            _log_choice(model, choice)
        return require(model, listing, choice, self._taken)

    def _list(self, model: Model, revision: str, receipt: Receipt | None) -> Listing | None:
        """The listing of a revision, by its pinned commit if there is one; None when there is no such revision.

        A pin of version 0.1.0 may hold less than the whole listing: its commit is listed once more.
        """
        pinned = None if self._refresh else load_pin(self._volume, model, revision)
        if pinned and pinned.checked:
            return pinned
        commit = None if self._refresh or receipt is None else receipt.commits.get(revision)
        commit = pinned.commit if pinned else commit
        asked = commit or revision
        if (model.repo, asked) not in self._fresh:
            ask = self._hub.listing if commit else self._hub.find  # a known commit that is gone is an error
            self._fresh[model.repo, asked] = ask(model.repo, asked)
        listing = self._fresh[model.repo, asked]
        if listing is None:
            return None
        if pinned and pinned.files != listing.files:
            figures = (len(pinned.files), len(listing.files))
            log.warning("%s: the listing on the volume has %d files, the hub's %d", model.display_name, *figures)
        if not commit and asked != listing.commit:
            log.info("%s: %s of %s is commit %s", model.display_name, revision, model.repo, listing.commit)
        return store_pin(self._volume, model, revision, listing)

    def _place(self, model: Model, alternative: Alternative) -> str:
        return self._volume.at(f"{model.path}/{alternative.file}")

    def _is_whole(self, model: Model, alternative: Alternative, file: RemoteFile) -> bool:
        known = self._known.get(f"{model.path}/{alternative.file}")
        if known:
            return known.content_id == file.content_id
        return file_matches(self._place(model, alternative), file.content_id, file.size)


def together(refused: list[NeedsChange]) -> NeedsChange:
    """One error that says all of it."""
    error = NeedsChange(refused[0].reason, "; ".join(each.message for each in refused))
    error.parts = tuple(refused)
    return error


def _log_choice(model: Model, choice: Choice) -> None:
    for why in choice.passed_over:
        log.info("%s: %s", model.display_name, why)
    if choice.passed_over:
        taken = choice.alternative
        log.info("%s: taking %s from %s instead", model.display_name, taken.file, taken.revision)
