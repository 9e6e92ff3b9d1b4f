"""What the demo says when the machine cannot carry it."""

from __future__ import annotations

import errno
import signal
import sys
from types import TracebackType

import pytest

from support.demo import __main__ as demo


class FullStage:
    """A stage whose folder has no room."""

    def __init__(self, _screen: object) -> None:
        """Takes nothing of it."""

    def __enter__(self) -> FullStage:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/file")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Never entered."""


def test_a_full_temporary_folder_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "Stage", FullStage)
    monkeypatch.setattr(sys, "argv", ["demo"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert demo.main() == 1
    assert "is full. Free 300 MB there, or set TMPDIR" in capsys.readouterr().out
