"""Carrying out a plan while holding the lock: adopt, fetch, publish, link, and a receipt for each model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.model_check import ModelCheck
from init_sync.core.requirement import Blob, RequiredFile
from init_sync.core.settings import SyncOptions
from init_sync.core.spec import Manifest
from init_sync.fetch.downloader import Downloader, Outcome
from init_sync.fetch.hooks import TransferHooks
from init_sync.fetch.sources import Sources
from init_sync.fetch.transfer import Transfer
from init_sync.hub.api import Hub
from init_sync.hub.peers import Peers
from init_sync.shell.formatting import listed, size
from init_sync.sync.adopt import adopt
from init_sync.sync.anchors import checksums_by_content, refuse_required, unknown_files
from init_sync.sync.incomplete_models import IncompleteModels
from init_sync.sync.plan import SyncPlan
from init_sync.sync.prepare import Prepared, plan_again, prepare, refuse_conflicts
from init_sync.sync.progress import Progress
from init_sync.sync.space import make_room
from init_sync.volume.check import check_all
from init_sync.volume.completion import complete_receipts
from init_sync.volume.failures import volume_failure
from init_sync.volume.hashing import Hooks
from init_sync.volume.layout import sweep_temporary
from init_sync.volume.lock import VolumeLock
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.partial import remove_orphan_journals
from init_sync.volume.pins import store_pin
from init_sync.volume.probe import FileSystem, check_files, check_names, probe
from init_sync.volume.unused import unused_bytes
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)


class Execution:
    """The part of a run that changes the volume."""

    def __init__(
        self,
        manifest: Manifest,
        volume: Volume,
        options: SyncOptions,
        progress: Progress,
        lock: VolumeLock,
        stop: threading.Event,
    ) -> None:
        self._manifest = manifest
        self._volume = volume
        self._options = options
        self._progress = progress
        self._lock = lock
        self._hooks = Hooks(progress.hashed, stop)
        self._hub = Hub(options.settings, stop, progress.hub_error)
        self._peers = Peers(options.peers, options.peer_token, options.settings, stop, progress.peer_left_out)
        self._owned = OwnedFiles(volume, manifest.name)
        self._models = IncompleteModels(manifest.name, volume, progress, lock, self._hooks, self._owned)

    def execute(self, checks: Mapping[str, ModelCheck]) -> None:
        """Raises SyncError unless every model is complete at the end."""
        try:
            self._run(checks)
        except OSError as error:
            self._lock.check()  # who took it over removes temporary files: that is no fault of the volume
            raise volume_failure(error, "writing to the volume") from error

    def _run(self, checks: Mapping[str, ModelCheck]) -> None:
        sweep_temporary(self._volume)
        remove_orphan_journals(self._volume)
        file_system = probe(self._volume)
        check_names(self._volume, self._named_paths())
        prepared = self._prepare_until_anchors_hold(checks, file_system)
        files = [file for each in prepared.requirements for file in each.files]
        threads = self._options.settings.verify_threads
        self._models.adopted(adopt(self._volume, files, prepared.actions, prepared.known, threads, self._hooks))
        plan = plan_again(self._manifest, self._volume, checks, prepared, self._models.verified, file_system)
        make_room(self._volume, plan)
        if plan.blobs:
            self._fetch(plan)
        self._complete_receipts(checks)
        if len(checks) > 1:
            self._look_again()
        self._progress.bytes_unused = unused_bytes(self._volume, self._manifest)

    def _prepare_until_anchors_hold(self, checks: Mapping[str, ModelCheck], file_system: FileSystem) -> Prepared:
        """A digest that differs may be a peer's lie about what there is: then once more, without that peer."""
        while True:
            try:
                prepared = self._prepare(checks, file_system)
                self._progress.planned(prepared.requirements)
                refuse_conflicts(prepared.plan)
                check_files(self._volume, [file for each in prepared.requirements for file in each.files])
                self._models.set(prepared.requirements)
                self._hold_anchors(prepared)
                return prepared
            except SyncError:
                if not self._peers.refuted():
                    raise

    def _named_paths(self) -> list[str]:
        """What the manifest itself names on the volume: files of ours are called after it too."""
        models = self._manifest.models
        return [*(model.path for model in models), *(link.at for model in models for link in model.links)]

    def _look_again(self) -> None:
        """Raises TryAgain when files of one model came to lie over those of another in a way that nobody foresaw."""
        checks = check_all(self._volume, self._manifest, hooks=self._hooks)
        self._progress.checked(checks)
        for name, check in checks.items():
            if check.reason:
                changed = f"{name} was complete, and is no longer since others were fetched: {check.message}"
                raise TryAgain(check.reason, changed, name)

    def _prepare(self, checks: Mapping[str, ModelCheck], file_system: FileSystem) -> Prepared:
        options = self._options
        try:
            return prepare(
                self._manifest,
                self._volume,
                self._hub,
                checks,
                deep=options.deep,
                refresh=options.refresh,
                copy_pins=options.pins,
                peers=self._peers,
                file_system=file_system,
                hooks=self._hooks,
            )
        finally:
            self._hub.close()

    def _hold_anchors(self, prepared: Prepared) -> None:
        """Learn the digests of models with an anchor before anything large is read or fetched.

        Small files are fetched for it and not put in place: whatever was complete stays so if the digest is another.
        """
        files = unknown_files(prepared.requirements, prepared.checksums)
        if files:
            make_room(self._volume, prepared.plan)
            threads = self._options.settings.verify_threads
            found = adopt(self._volume, files, prepared.actions, prepared.known, threads, self._hooks)
            fetched = self._fetch_checksums([file for file in files if file.path not in found])
            known = {**prepared.checksums, **checksums_by_content(found.values()), **fetched}
            refuse_required(prepared.requirements, known)
        for pin in prepared.pins:
            store_pin(self._volume, *pin)

    def _fetch_checksums(self, files: Sequence[RequiredFile]) -> dict[str, str]:
        """By content id."""
        found: dict[str, str] = {}

        def learn(transfer: Transfer) -> None:
            found[transfer.blob.content_id] = transfer.checksum

        if files:
            log.info("Fetching %d small files first: the digests that the manifest demands depend on them", len(files))
            blobs = [Blob(file.content_id, file.size, (file.path,), file) for file in files]
            self._download(blobs, learn, publishes=False, proven=False)
        return found

    def _complete_receipts(self, checks: Mapping[str, ModelCheck]) -> None:
        """Of version 0.1.0: those of models that are complete already."""
        others = [check for name, check in checks.items() if name not in self._models]
        for name, receipt in complete_receipts(self._volume, others, self._lock, self._hooks):
            self._progress.completed(name, receipt)

    def _fetch(self, plan: SyncPlan) -> None:
        count = f"{len(plan.blobs)} files" if len(plan.blobs) != 1 else "1 file"
        peers = [str(peer) for peer in self._peers.usable()]
        log.info("Fetching %s in %s from %s", size(plan.bytes_to_fetch), count, listed([*peers, self._hub.endpoint]))
        self._download(plan.blobs, self._models.on_file)

    def _download(
        self,
        blobs: Sequence[Blob],
        on_file: Callable[[Transfer], None],
        *,
        publishes: bool = True,
        proven: bool = True,
    ) -> None:
        """``proven``: whether the listings are; one that is not is its lister's word."""
        progress = self._progress
        hooks = TransferHooks(
            on_received=lambda blob, _, gained, from_peer: progress.received(gained, blob.label, from_peer),
            on_present=lambda blob, count: progress.present(blob.paths, count),
            on_hashed=progress.hashed,
            on_error=progress.hub_error,
            may_write=self._lock.check,
            may_name=self._lock.check_volume,
            on_name=self._owned.add,
            stop=threading.Event(),  # a download that was aborted must not stop the next one
        )
        settings = self._options.settings
        sources = self._hub.sources(blob.source for blob in blobs)
        listers = [None if proven else self._peers.lister(blob.source.repo, blob.source.commit) for blob in blobs]
        transfers = [
            Transfer(self._volume, blob, Sources(blob, source, self._peers, lister), settings, publishes=publishes)
            for blob, source, lister in zip(blobs, sources, listers, strict=True)
        ]
        outcome = Downloader(transfers, settings, hooks, on_file, self._models.on_failure).download()
        self._raise(outcome)

    def _raise(self, outcome: Outcome) -> None:
        """One error for all: with the exit code of the most final one."""
        if outcome.fatal:
            raise outcome.fatal
        errors = list(outcome.failed.values())
        if not errors:
            return
        worst = max(errors, key=lambda error: error.exit_code)
        if len(errors) == 1:
            raise worst
        kind = NeedsChange if isinstance(worst, NeedsChange) else TryAgain
        error = kind(worst.reason, f"{worst.message} (and {len(errors) - 1} more files failed)")
        error.parts = tuple(errors)  # each is known to its models already
        raise error
