"""One file on its way: who may begin with it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from init_sync.core.reasons import Reason
from init_sync.core.requirement import Blob, RequiredFile
from init_sync.core.settings import Settings
from init_sync.fetch.hooks import TransferHooks
from init_sync.fetch.sources import Sources
from init_sync.fetch.transfer import Transfer
from init_sync.hub.peers import Peers
from init_sync.hub.source import Source
from init_sync.volume.lock import LockLost
from init_sync.volume.volume import Volume


def lost() -> None:
    raise LockLost(Reason.WAITING_FOR_LOCK, "another process took the lock over")


def test_a_process_that_lost_the_lock_leaves_no_partial_file_behind(volume: Path) -> None:
    """It was frozen before it began with the file, and thaws when others are done with it."""
    file = RequiredFile("m/file", "file", "owner/m", "main", 5, "sha256:" + "0" * 64)
    blob = Blob(file.content_id, 5, (file.path,), file)
    peers = Peers((), "", Settings(), threading.Event())
    sources = Sources(blob, Source("http://127.0.0.1:9/file", {}, 5, "it"), peers)
    silent = lambda *_: None  # noqa: E731
    hooks = TransferHooks(silent, silent, silent, silent, lost, lost, silent, threading.Event())
    with pytest.raises(LockLost):
        Transfer(Volume(str(volume)), blob, sources, Settings()).prepare(hooks)
    assert list(volume.rglob("*")) == []
