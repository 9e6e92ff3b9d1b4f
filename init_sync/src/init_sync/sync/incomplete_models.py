"""Models without their receipt: how much of each is missing, and the receipt once nothing is."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from init_sync.core.anchor import anchor_problem, mismatch
from init_sync.core.errors import SyncError
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.core.requirement import Blob, Requirement
from init_sync.fetch.transfer import Transfer
from init_sync.shell.formatting import size
from init_sync.sync.progress import Progress
from init_sync.sync.warnings import missing_shard
from init_sync.volume.hashing import Hooks
from init_sync.volume.links import make_link
from init_sync.volume.lock import VolumeLock
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.publishing import still_verified
from init_sync.volume.receipts import store_receipt
from init_sync.volume.timestamps import wait_out_clock_step
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)


class IncompleteModels:
    """Those of one run. ``on_file`` and ``on_failure`` are called by the threads of a download."""

    def __init__(
        self, cache: str, volume: Volume, progress: Progress, lock: VolumeLock, hooks: Hooks, owned: OwnedFiles
    ) -> None:
        self._cache = cache
        self._volume = volume
        self._progress = progress
        self._lock = lock
        self._hooks = hooks
        self._owned = owned
        self.verified: dict[str, ReceiptFile] = {}
        """By path: files whose content was verified, in this run or as a receipt says."""
        self._models: dict[str, Requirement] = {}
        self._missing: Counter[str] = Counter()
        """How many files are missing, by model."""
        self._models_of: dict[str, list[str]] = {}
        """By path."""
        self._guard = threading.Lock()

    def __contains__(self, name: str) -> bool:
        """Whether the model had no receipt when the run began."""
        return name in self._models

    def set(self, requirements: Iterable[Requirement]) -> None:
        """In place of those before."""
        self._models.clear()
        self._models_of.clear()
        for requirement in requirements:
            self._models[requirement.model.name] = requirement
            for file in requirement.files:
                self._models_of.setdefault(file.path, []).append(requirement.model.name)

    def adopted(self, found: Mapping[str, ReceiptFile]) -> None:
        """Of the files of all models these, by path, need not be fetched."""
        for name, requirement in self._models.items():
            self._missing[name] = sum(file.path not in found for file in requirement.files)
            if self._missing[name]:
                self._progress.to_fetch(name, self._missing[name], len(requirement.files))
        for verified in found.values():
            self.verified[verified.path] = verified
            self._progress.verified(verified)
        for name, requirement in self._models.items():
            if not self._missing[name]:
                self._complete(requirement)

    def on_file(self, transfer: Transfer) -> None:
        """A file is in place."""
        log.info("%s: verified and in place (%s)", transfer.blob.label, size(transfer.blob.size))
        done: list[str] = []
        with self._guard:
            for file in transfer.published:
                self.verified[file.path] = file
                self._progress.verified(file)
                for name in self._models_of[file.path]:
                    self._missing[name] -= 1
                    if not self._missing[name]:
                        done.append(name)
        for name in done:
            self._complete(self._models[name])

    def on_failure(self, blob: Blob, error: SyncError) -> None:
        """Of a file."""
        error.model = self._models_of[blob.paths[0]][0]
        self._progress.failed(error, blob.paths)

    def _complete(self, requirement: Requirement) -> None:
        """Link, and write the receipt of a model whose last file is in place."""
        self._lock.check_volume()
        files = still_verified(self._volume, requirement, self.verified, self._hooks)
        model = requirement.model
        by_source = {file.source: verified for file, verified in zip(requirement.files, files, strict=True)}
        links = tuple(make_link(self._volume, by_source[link.file], link.at, self._owned) for link in model.links)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        receipt = Receipt(
            model=model.name,
            path=model.path,
            repo=model.repo,
            revision=model.revision,
            requirement=model.requirement_digest(),
            commits=dict(requirement.commits),
            chosen=dict(requirement.chosen),
            files=files,
            links=links,
            verified_at=now,
            warning=missing_shard(self._volume, requirement),
            replaced=tuple(file.path for file in requirement.files if file.replaced),
            cache=self._cache,
        )
        receipt = receipt.with_oldest_time().with_digest()
        if problem := anchor_problem(model, receipt.digest, f"what is in {model.path}"):
            raise mismatch(model, problem)
        wait_out_clock_step(self._volume, [*(file.mtime_ns for file in files), *(link.mtime_ns for link in links)])
        self._owned.bring_to_disk()
        store_receipt(self._volume, model, receipt)
        self._progress.completed(model.name, receipt)
        total, commit = size(sum(file.size for file in files)), requirement.commit[:12]
        log.info("%s: all %d files verified (%s, commit %s)", model.display_name, len(files), total, commit)
        if receipt.warning:
            log.warning("%s: %s", model.display_name, receipt.warning)
