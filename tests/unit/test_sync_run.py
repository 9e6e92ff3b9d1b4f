"""A sync says that it is done only when every model is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from init_sync.core.errors import TryAgain
from init_sync.core.manifest import parse_manifest
from init_sync.core.reasons import Reason
from init_sync.core.settings import SyncOptions
from init_sync.sync.execute import Execution
from init_sync.sync.progress import Progress
from init_sync.sync.run import SyncRun
from init_sync.volume.volume import Volume
from unit.manifests import document, model


def test_an_end_without_an_error_is_no_success_unless_all_is_complete(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that another one had stopped once ended so."""
    monkeypatch.setattr(Execution, "execute", lambda *_: None)
    manifest = parse_manifest(document(model()), "cache.yaml")
    progress = Progress(manifest)
    run = SyncRun(manifest, Volume(str(volume)), SyncOptions(), progress, lambda: None, lambda *_: None)
    with pytest.raises(TryAgain, match="without an error"):
        run.sync()
    assert {each.reason for each in progress.report().models} == {Reason.INTERNAL_ERROR}
