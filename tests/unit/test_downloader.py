"""What an error of the volume means while files are downloaded."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Blob, RequiredFile
from init_sync.core.settings import Settings
from init_sync.fetch.downloader import Downloader, Outcome
from init_sync.fetch.hooks import TransferHooks
from init_sync.fetch.sources import Sources
from init_sync.fetch.transfer import Transfer
from init_sync.hub.peers import Peers
from init_sync.hub.source import Source
from init_sync.volume.lock import LockLost
from init_sync.volume.volume import Volume


def lost() -> None:
    raise LockLost(Reason.WAITING_FOR_LOCK, "writing to the volume: another process took the lock over")


def held() -> None:
    """The lock is ours."""


def downloaded(volume: Path, may_write: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> Outcome:
    """One empty file, of which nothing need come; putting it in place fails with this error."""
    empty = "git-sha1:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    file = RequiredFile("m/file", "file", "owner/m", "main", 0, empty)
    source = Source("http://127.0.0.1:9/file", {}, 0, "it")
    settings = Settings(connections=1)
    blob = Blob(empty, 0, (file.path,), file)
    peers = Peers((), "", settings, threading.Event())
    transfer = Transfer(Volume(str(volume)), blob, Sources(blob, source, peers), settings)

    def silent(*_: object) -> None: ...

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fail)
    hooks = TransferHooks(silent, silent, silent, silent, may_write, held, silent, threading.Event())
    return Downloader([transfer], settings, hooks, silent, silent).download()


def test_a_file_that_another_holder_of_the_lock_moved_is_no_fault_of_the_volume(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process was frozen; the other one has published the file meanwhile."""
    outcome = downloaded(volume, lost, monkeypatch, 2)
    assert isinstance(outcome.fatal, LockLost)
    assert "took the lock over" in outcome.fatal.message


@pytest.mark.parametrize(("number", "kind", "reason"), [(2, TryAgain, "FileMissing"), (28, NeedsChange, "DiskFull")])
def test_otherwise_it_is_what_the_volume_says(
    number: int, kind: type[Exception], reason: str, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = downloaded(volume, held, monkeypatch, number)
    assert isinstance(outcome.fatal, kind)
    assert outcome.fatal is not None
    assert outcome.fatal.reason == reason
