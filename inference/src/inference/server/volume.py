"""Refuses to serve an incomplete model volume, once, before anything is loaded and before the port is bound.

`init_sync` compares the receipts on the volume with its files (one stat per file, no network). This module makes one
line of the result, for people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from inference.server.config import ModelSettings, ServerConfig


class ModelReport(Protocol):
    """What is known about one model of the manifest."""

    @property
    def name(self) -> str: ...
    @property
    def complete(self) -> bool: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def message(self) -> str | None: ...


class VolumeReport(Protocol):
    """What `init_sync.verify_volume` returns."""

    @property
    def complete(self) -> bool: ...
    @property
    def models(self) -> Sequence[ModelReport]: ...


class VolumeIncomplete(Exception):
    """The volume cannot be served; the message is one line that names the file and the cure."""


Verify = Callable[[ServerConfig], None]
"""Returns if the volume is complete; raises `VolumeIncomplete` otherwise."""


def verify_receipts(config: ModelSettings) -> None:
    """Check the receipts through `init_sync`; raise `VolumeIncomplete` unless every model is complete."""
    from init_sync import verify_volume
    from init_sync.core.errors import SyncError

    try:
        report: VolumeReport = verify_volume(str(config.spec), str(config.volume))
    except (OSError, SyncError) as error:
        raise VolumeIncomplete(f"checking volume {config.volume}: {_one_line(str(error))}") from error
    require_complete(report, config.volume)


def require_complete(report: VolumeReport, volume: Path) -> None:
    """Raise `VolumeIncomplete` with the first finding and the number of the others."""
    if report.complete:
        return
    findings = [
        f"model {model.name!r}: {model.reason or 'NotVerified'}: {_one_line(model.message or 'no receipt')}"
        for model in report.models
        if not model.complete
    ] or ["the report names no model"]
    others = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    raise VolumeIncomplete(f"volume {volume} is incomplete: {findings[0]}{others}. Run init-sync sync first.")


def _one_line(text: str) -> str:
    return " ".join(text.split())
