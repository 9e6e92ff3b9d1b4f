"""From models that are not complete to what each of them needs: revisions resolved and pinned, alternatives chosen."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from init_sync.core.copy_pins import Pin
from init_sync.core.errors import NeedsChange, together
from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.model_check import ModelCheck
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.core.requirement import Choice, Requirement, choose, refuse_collisions, refuse_pickles, require
from init_sync.core.spec import Alternative, Manifest, Model
from init_sync.hub.api import Hub
from init_sync.hub.peers import Peers
from init_sync.volume.hashing import SILENT, Hooks, file_matches
from init_sync.volume.pins import load_pin, store_pin
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)


class Resolver:
    """Resolves and lists; keeps pins on the volume so that the next run works on the same commits."""

    def __init__(
        self,
        volume: Volume | None,
        hub: Hub,
        *,
        known: Mapping[str, ReceiptFile],
        taken: Collection[str] = (),
        refresh: bool = False,
        pins: Mapping[str, Pin] | None = None,
        peers: Peers | None = None,
        writes: bool = True,
        hooks: Hooks = SILENT,
    ) -> None:
        """``taken``: paths where other manifests keep links. ``writes``: whether pins may be written."""
        self._volume = volume
        self._hub = hub
        self._known = known
        self._taken = taken
        self._refresh = refresh
        self._copy_pins = pins or {}
        self._peers = peers
        self._writes = writes
        self._hooks = hooks
        self._fresh: dict[tuple[str, str], Listing | None] = {}
        self.pins: list[tuple[Model, str, Listing]] = []
        """Pins of models with an anchor: to be written once it is known that the commit has the content demanded."""

    def resolve(self, manifest: Manifest, checks: Mapping[str, ModelCheck]) -> list[Requirement]:
        """What each model of ``checks`` needs.

        Raises:
            NeedsChange: naming every model that cannot be had, before a byte is fetched for any of them.
            TryAgain: the hub stayed away.
        """
        requirements: list[Requirement] = []
        refused: list[NeedsChange] = []
        for check in checks.values():
            try:
                requirement = self._resolve(check.model, check.receipt)
                if not manifest.allow_pickles:
                    refuse_pickles(requirement)
                requirements.append(requirement)
            except NeedsChange as error:
                error.model = check.model.name
                refused.append(error)
        if refused:
            raise together(refused)
        refuse_collisions(requirements)
        return requirements

    def _resolve(self, model: Model, receipt: Receipt | None) -> Requirement:
        listing = self._list(model, model.revision, receipt)
        if listing is None:
            listing = self._hub.listing(model.repo, model.revision)  # raises: there is no such revision
        choice = choose(
            model,
            lambda revision: self._list(model, revision, receipt),
            on_volume=lambda alternative: self._is_there(model, alternative),
            is_valid=lambda alternative, file: self._is_valid(model, alternative, file),
        )
        if choice:
            _log_choice(model, choice)
        return require(model, listing, choice, self._taken)

    def _list(self, model: Model, revision: str, receipt: Receipt | None) -> Listing | None:
        """The listing of a revision, by its pinned commit if there is one; None when there is no such revision.

        A pin of version 0.1.0 may hold less than the complete listing: its commit is listed once more.
        """
        moves = self._refresh or self._moves(model)
        pinned = load_pin(self._volume, model, revision) if self._volume and not moves else None
        if pinned and pinned.checked:
            return pinned
        commit = None if moves or receipt is None else receipt.commits.get(revision)
        commit = pinned.commit if pinned else commit
        if revision == model.revision and model.name in self._copy_pins:
            commit = self._copy_pins[model.name].commit
        asked = commit or revision
        if (model.repo, asked) not in self._fresh:
            self._fresh[model.repo, asked] = self._ask(model, asked, is_commit=commit is not None)
        listing = self._fresh[model.repo, asked]
        if listing is None:
            return None
        if pinned and pinned.files != listing.files:
            figures = (len(pinned.files), len(listing.files))
            log.warning("%s: the listing on the volume has %d files, the hub's %d", model.display_name, *figures)
        if not commit and asked != listing.commit:
            log.info("%s: %s of %s is commit %s", model.display_name, revision, model.repo, listing.commit)
        if model.anchor:
            self.pins.append((model, revision, listing))
        elif self._volume and self._writes:
            return store_pin(self._volume, model, revision, listing)
        return listing

    def _moves(self, model: Model) -> bool:
        """Whether the pins of another copy lead to another commit than the volume's own."""
        if model.name not in self._copy_pins or not self._volume:
            return False
        pinned = load_pin(self._volume, model, model.revision)
        return pinned is not None and pinned.commit != self._copy_pins[model.name].commit

    def _ask(self, model: Model, revision: str, *, is_commit: bool) -> Listing | None:
        """A peer, where a digest will show whether it was right; else the hub."""
        if self._peers and model.name in self._copy_pins and (found := self._peers.listing(model.repo, revision)):
            return found
        ask = self._hub.listing if is_commit else self._hub.find  # a known commit that is gone is an error
        return ask(model.repo, revision)

    def _is_there(self, model: Model, alternative: Alternative) -> bool:
        try:
            return self._volume is not None and bool(self._volume.stat(f"{model.path}/{alternative.file}"))
        except OSError:
            return False

    def _is_valid(self, model: Model, alternative: Alternative, file: RemoteFile) -> bool:
        path = f"{model.path}/{alternative.file}"
        if known := self._known.get(path):
            return known.content_id == file.content_id
        return self._volume is not None and file_matches(self._volume, path, file.content_id, file.size, self._hooks)


def _log_choice(model: Model, choice: Choice) -> None:
    for why in choice.passed_over:
        log.info("%s: %s", model.display_name, why)
    if choice.passed_over:
        taken = choice.alternative
        log.info("%s: taking %s from %s instead", model.display_name, taken.file, taken.revision)
