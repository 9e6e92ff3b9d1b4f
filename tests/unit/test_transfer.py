"""One file on its way: who may begin with it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from init_sync.core.reasons import Reason
from init_sync.hub.retry import Patience
from init_sync.hub.source import Source
from init_sync.hub.transfer import Transfer, Watch
from init_sync.hub.wanted import Wanted
from init_sync.volume.layout import Volume
from init_sync.volume.lease import LeaseLost


def lost() -> None:
    raise LeaseLost(Reason.WAITING_FOR_LOCK, "another process took the lock over")


def test_a_process_that_lost_the_lock_leaves_no_partial_file_behind(volume: Path) -> None:
    """It was frozen before it began with the file, and thaws when others are done with it."""
    wanted = Wanted("sha256:" + "0" * 64, 5, ("m/file",), "m/file")
    source = Source("http://127.0.0.1:9/file", {}, 5, "it")
    watch = Watch(lambda *_: None, lambda *_: None, lambda _: None, lambda _: None, lost, lost, threading.Event())
    with pytest.raises(LeaseLost):
        Transfer(Volume(str(volume)), wanted, source, Patience(1.0), 1).prepare(watch)
    assert list(volume.rglob("*")) == []
