"""The question whether the volume is whole, and the line that is printed when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from inference.server.volume import VolumeIncomplete, require_complete


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
