"""The question whether the volume is whole, and the line that is printed when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from inference.server.volume import VolumeIncomplete, require_complete, verify_receipts
from inference_server.harness import config_for

MANIFEST = """\
apiVersion: modelcache.dev/v1alpha1
kind: ModelCache
metadata: {name: tiny}
spec:
  volume: {claimName: tiny}
  models:
  - {name: tiny, displayName: Tiny, repo: example/tiny, path: tiny, include: [config.json]}
"""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    complete: bool
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    complete: bool
    models: tuple[Model, ...]


def test_a_complete_volume_passes() -> None:
    require_complete(Report(True, (Model("base", True),)), Path("/models"))


def test_an_incomplete_volume_is_refused_in_one_line_that_names_model_reason_and_file() -> None:
    damaged = Model("base", False, "SizeMismatch", "base/model.safetensors: 10 bytes,\n 20 expected")
    report = Report(False, (Model("wav2vec", True), damaged, Model("audio", False)))
    with pytest.raises(VolumeIncomplete) as caught:
        require_complete(report, Path("/models"))
    assert str(caught.value) == (
        "volume /models is incomplete: model 'base': SizeMismatch: base/model.safetensors: 10 bytes, 20 expected "
        "(and 1 more). Run init-sync sync first."
    )


def test_an_incomplete_report_without_a_finding_is_still_refused() -> None:
    with pytest.raises(VolumeIncomplete):
        require_complete(Report(False, ()), Path("/models"))


def test_init_sync_itself_refuses_an_empty_volume_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("init_sync.app.verify", reason="init_sync is not installed")
    spec = tmp_path / "modelcache.yaml"
    spec.write_text(MANIFEST)
    (tmp_path / "volume").mkdir()
    with pytest.raises(VolumeIncomplete) as caught:
        verify_receipts(config_for(tmp_path))
    assert "model 'tiny'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("manifest", [None, "kind: [", "kind: Other"], ids=["missing", "no YAML", "another kind"])
def test_a_manifest_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, manifest: str | None) -> None:
    pytest.importorskip("init_sync.app.verify", reason="init_sync is not installed")
    (tmp_path / "volume").mkdir()
    if manifest is not None:
        (tmp_path / "modelcache.yaml").write_text(manifest)
    with pytest.raises(VolumeIncomplete) as caught:
        verify_receipts(config_for(tmp_path))
    assert "modelcache.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
