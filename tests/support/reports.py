"""Reports as init-sync writes them, made by its own classes."""

from __future__ import annotations

from typing import Any

from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport, Report

GIB = 1 << 30
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def complete(
    cache: str = "cache", *names: str, fetched: int = GIB, digest: str | None = None, **extra: Any
) -> dict[str, Any]:
    """Every model is there."""
    models = tuple(_model(name, complete=True, digest=digest) for name in names or ("base",))
    return {**Report(cache, models, bytes_fetched=fetched).to_json(), **extra}


def incomplete(
    reason: Reason | None, message: str = "", cache: str = "cache", fetched: int = 0, **extra: Any
) -> dict[str, Any]:
    """One model is not."""
    model = _model("base", complete=False, reason=reason, message=message, present=GIB // 2)
    return {**Report(cache, (model,), bytes_fetched=fetched).to_json(), **extra}


def _model(
    name: str,
    *,
    complete: bool,
    reason: Reason | None = None,
    message: str = "",
    present: int = GIB,
    digest: str | None = None,
) -> ModelReport:
    return ModelReport(
        name=name,
        complete=complete,
        revision="main",
        files_total=3,
        files_present=3 if complete else 1,
        bytes_total=GIB,
        bytes_present=present,
        commit=COMMIT,
        verified_at="2026-11-23T01:00:00Z" if complete else None,
        digest=digest,
        reason=reason,
        message=message,
    )
