"""Making models complete while holding the lease: plan, adopt, check the space, fetch, link, write receipts."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from init_sync.app.adoption import Adoption
from init_sync.app.examination import examine_all
from init_sync.app.planning import Planner
from init_sync.app.space import check_space
from init_sync.app.tracker import Tracker
from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.formatting import size
from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.core.requirement import RequiredFile, Requirement
from init_sync.core.settings import SyncOptions
from init_sync.core.spec import Manifest
from init_sync.hub.api import Hub
from init_sync.hub.engine import Engine, Outcome
from init_sync.hub.retry import Patience
from init_sync.hub.source import Source
from init_sync.hub.transfer import Transfer, Watch
from init_sync.hub.wanted import Wanted, group, small_first
from init_sync.volume.conflicts import Placed, refuse_conflicts
from init_sync.volume.failures import volume_failure
from init_sync.volume.inspection import Inspection, linked_places, verified_files
from init_sync.volume.layout import Volume, write_json
from init_sync.volume.lease import Lease
from init_sync.volume.links import make_link
from init_sync.volume.partial import kept_bytes, sweep
from init_sync.volume.probe import Folding, check_files, check_names, probe
from init_sync.volume.publishing import still_verified
from init_sync.volume.timestamps import wait_out_clock_step

log = logging.getLogger(__name__)


class Completion:
    """The part of a run that changes the volume."""

    def __init__(
        self,
        manifest: Manifest,
        volume: Volume,
        options: SyncOptions,
        tracker: Tracker,
        lease: Lease,
        stop: threading.Event,
    ) -> None:
        self._manifest = manifest
        self._volume = volume
        self._options = options
        self._tracker = tracker
        self._lease = lease
        self._stop = stop
        self._hub = Hub(options.settings, stop, tracker.hub_error)
        self._engine: Engine | None = None
        self._requirements: list[Requirement] = []
        self._verified: dict[str, ReceiptFile] = {}
        """By path: files whose content is known to be right, in this run or by a receipt."""
        self._failures: list[SyncError] = []
        self._guard = threading.Lock()

    def carry_out(self, inspections: dict[str, Inspection]) -> None:
        """Raises SyncError unless every model is complete at the end."""
        try:
            self._sweep()
            folding = probe(self._volume)
            check_names(self._volume, self._own_places())
            known = self._known(inspections)
            self._plan(inspections, known)
            self._check_volume(inspections, folding)
            missing = self._adopt(known)
            self._settle()
            self._announce(missing)
            if missing:
                wanted = group(missing)
                self._check_places(missing)
                check_space(self._volume, wanted)
                self._fetch(wanted)
        except OSError as error:
            self._lease.check()  # the process that took it over removes temporary files: that is no fault of the volume
            raise volume_failure(error, "writing to the volume") from error
        if self._failures:
            raise _worst(self._failures)  # the models have been told which of them concerns them
        if len(self._tracker.states) > 1:
            self._look_again()

    def _look_again(self) -> None:
        """Raises TryAgain when files of one model came to lie over those of another, in a way that nobody foresaw."""
        examine_all(self._volume, self._tracker, on_bytes=self._tracker.verified, stop=self._stop)
        for state in self._tracker.states.values():
            if not state.complete:
                message = f"{state.model.name} was complete, and is not since others were fetched: {state.message}"
                raise TryAgain(state.reason or Reason.NOT_VERIFIED, message, state.model.name)

    def _sweep(self) -> None:
        """Temporary files of runs that were killed: nobody else writes while we hold the lease."""
        with suppress(FileNotFoundError):
            for name in os.listdir(self._volume.tmp):
                with suppress(OSError):
                    os.unlink(f"{self._volume.tmp}/{name}")
                    continue
                shutil.rmtree(f"{self._volume.tmp}/{name}", ignore_errors=True)  # a directory of the probe's
        sweep(self._volume)

    def _own_places(self) -> list[str]:
        """What the manifest itself names on the volume; files of ours are called after it."""
        models = self._manifest.models
        return [*(model.path for model in models), *(link.at for model in models for link in model.links)]

    def _known(self, inspections: dict[str, Inspection]) -> dict[str, ReceiptFile]:
        """Files that need no hashing, by path: looked at just now, or (but in a deep run) vouched for by a receipt."""
        known = {} if self._options.deep else verified_files(self._volume)
        for inspection in inspections.values():
            known.update((file.path, file) for file in inspection.receipt.files if file.path in inspection.whole)
        return known

    def _plan(self, inspections: dict[str, Inspection], known: Mapping[str, ReceiptFile]) -> None:
        states = self._tracker.states.values()
        models = [state.model for state in states if self._options.refresh or not state.complete]
        receipts = {name: inspection.receipt for name, inspection in inspections.items()}
        taken = linked_places(self._volume, except_for={model.path for model in self._manifest.models})
        planner = Planner(self._volume, self._hub, known, taken, self._options.refresh)
        try:
            self._requirements = planner.plan(self._manifest, models, receipts)
        finally:
            self._hub.close()
        for requirement in self._requirements:
            state = self._tracker.states[requirement.model.name]
            state.sizes = {file.path: file.size for file in requirement.files}
            state.present, state.whole = {}, set()
            state.commit, state.chosen = requirement.commit, requirement.chosen

    def _check_volume(self, inspections: dict[str, Inspection], folding: Folding) -> None:
        """Raises NeedsChange before a byte is fetched: the volume cannot hold these files, or not side by side."""
        planned = [file for requirement in self._requirements for file in requirement.files]
        check_files(self._volume, planned)
        placed = [Placed(file.path, each.model.name) for each in self._requirements for file in each.files]
        placed += [Placed(link.at, each.model.name) for each in self._requirements for link in each.model.links]
        names = {requirement.model.name for requirement in self._requirements}
        for name, inspection in inspections.items():
            if name not in names:
                placed += [Placed(file.path, name) for file in inspection.receipt.files]
                placed += [Placed(link.at, name) for link in inspection.receipt.links]
        refuse_conflicts(self._volume, placed, folding)

    def _adopt(self, known: Mapping[str, ReceiptFile]) -> list[RequiredFile]:
        """Take over every file whose content is right already; returns those that have to be fetched."""
        adoption = Adoption(
            self._volume, known, self._options.settings.verify_threads, self._tracker.verified, self._stop
        )
        files = [file for requirement in self._requirements for file in requirement.files]
        found = adoption.verify(files)
        for path, verified in found.items():
            self._take(verified, path)
        return [file for file in files if file.path not in found]

    def _take(self, verified: ReceiptFile, path: str) -> None:
        with self._guard:
            self._verified[path] = verified
            for state in self._tracker.states.values():
                if path in state.sizes:
                    state.whole.add(path)
                    state.present[path] = verified.size

    def _announce(self, missing: list[RequiredFile]) -> None:
        """From here on the report says what is left to do, not what was found at the beginning."""
        for requirement in self._requirements:
            count = sum(file in requirement.files for file in missing)
            message = f"{count} of {len(requirement.files)} files to be fetched"
            self._tracker.states[requirement.model.name].problem(Reason.FILE_MISSING, message)

    def _check_places(self, missing: list[RequiredFile]) -> None:
        """Raises OutsideVolume before a byte is fetched that could not be put where it belongs."""
        for path in {os.path.dirname(file.path): file.path for file in missing}.values():
            self._volume.check_parent(path)

    def _fetch(self, wanted: list[Wanted]) -> None:
        total = sum(each.size - kept_bytes(self._volume, each.content_id, each.size) for each in wanted)
        count = f"{len(wanted)} files" if len(wanted) != 1 else "1 file"
        log.info("Fetching %s in %s from %s", size(total), count, self._hub.endpoint)
        sources = {file.path: file for requirement in self._requirements for file in requirement.files}
        transfers = [self._transfer(each, sources[each.places[0]]) for each in small_first(wanted, sources)]
        tracker = self._tracker
        watch = Watch(
            on_received=self._on_received,
            on_present=self._on_present,
            on_verified=tracker.verified,
            on_error=tracker.hub_error,
            may_write=self._lease.check,
            may_name=self._lease.check_place,
            stop=self._stop,
        )
        self._engine = Engine(transfers, self._options.settings, watch, self._on_file)
        self._record_failures(self._engine.run(), wanted)

    def _transfer(self, wanted: Wanted, file: RequiredFile) -> Transfer:
        url = self._hub.file_url(file.repo, file.commit, file.source)
        source = Source(url, self._hub.headers(), wanted.size, f"{file.source} of {file.repo}")
        settings = self._options.settings
        return Transfer(self._volume, wanted, source, Patience(settings.give_up_s), settings.connections)

    def _on_received(self, transfer: Transfer, count: int, gained: int) -> None:
        if self._engine:
            self._engine.arrived(transfer, count, gained)
        if gained:
            self._tracker.fetched(gained)
        self._tracker.activity = transfer.wanted.label

    def _on_present(self, transfer: Transfer, count: int) -> None:
        self._tracker.present(transfer.wanted.places, count)

    def _on_file(self, transfer: Transfer) -> None:
        for each in transfer.published:
            self._take(each, each.path)
        log.info("%s: verified and in place (%s)", transfer.wanted.label, size(transfer.wanted.size))
        self._settle()

    def _settle(self) -> None:
        """Link and write the receipt of every model whose last file is in place now."""
        for requirement in list(self._requirements):
            with self._guard:
                if requirement not in self._requirements or any(
                    file.path not in self._verified for file in requirement.files
                ):
                    continue
                self._requirements = [each for each in self._requirements if each is not requirement]
            self._complete(requirement)

    def _complete(self, requirement: Requirement) -> None:
        self._lease.check_place()
        files = still_verified(self._volume, requirement, self._verified, self._tracker.verified, self._stop)
        model = requirement.model
        places = {file.source: file.path for file in requirement.files}
        links = tuple(make_link(self._volume, places[link.file], link.at) for link in model.links)
        receipt = Receipt(
            model=model.name,
            path=model.path,
            repo=model.repo,
            revision=model.revision,
            requirement=model.digest(),
            commits=dict(requirement.commits),
            chosen=dict(requirement.chosen),
            files=files,
            links=links,
            verified_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        times = [*(file.mtime_ns for file in files), *(link.mtime_ns for link in links)]
        wait_out_clock_step(self._volume, times)
        write_json(self._volume, self._volume.receipt(model), receipt.to_json())
        state = self._tracker.states[model.name]
        state.take_receipt(receipt, (file.path for file in receipt.files))
        state.completed()
        total = sum(file.size for file in receipt.files)
        log.info(
            "%s: all %d files verified (%s, commit %s)",
            model.display_name,
            len(receipt.files),
            size(total),
            requirement.commit[:12],
        )

    def _record_failures(self, outcome: Outcome, wanted: list[Wanted]) -> None:
        """Tell every model what concerns it: what ended the run first, then what went wrong with its own files."""
        places = {each.content_id: each.places for each in wanted}
        if outcome.fatal and outcome.fatal_content:
            self._tracker.fail_for(places[outcome.fatal_content], outcome.fatal)
        elif outcome.fatal:
            self._tracker.fail(outcome.fatal)
        for content_id, error in outcome.failed.items():
            self._tracker.fail_for(places[content_id], error)
            self._failures.append(error)
        if outcome.fatal:
            raise outcome.fatal


def _worst(errors: list[SyncError]) -> SyncError:
    """One error for all: with the exit code of the most final one."""
    worst = max(errors, key=lambda error: error.exit_code)
    if len(errors) == 1:
        return worst
    kind = NeedsChange if isinstance(worst, NeedsChange) else TryAgain
    error = kind(worst.reason, f"{worst.message} (and {len(errors) - 1} more files failed)")
    error.parts = tuple(errors)
    return error
