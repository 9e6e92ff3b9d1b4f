"""Errors by what the reader should do about them, not by what went wrong.

``TryAgain`` ends a run with exit code 1: the same command may succeed later.
``NeedsChange`` ends it with exit code 2: somebody has to change the manifest, the token or the volume first.
Messages read "<gerund> <object>: <cause>. <what to do>" and fit on one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from init_sync.core.reasons import Reason


class SyncError(Exception):
    """A model, or the whole run, did not become complete."""

    exit_code = 1

    def __init__(self, reason: Reason, message: str, model: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.model = model
        """Name of the model concerned; None when it is the whole run."""
        self.parts: tuple[SyncError, ...] = ()
        """The errors that this one puts together, each of one model or file."""


class TryAgain(SyncError):
    """A retry may cure it: hub down, rate limited, stalled, wrong bytes three times, interrupted."""

    exit_code = 1


class NeedsChange(SyncError):
    """No retry will cure it: bad manifest, refused token, nothing of that name, volume too small."""

    exit_code = 2


def together(refused: Sequence[NeedsChange]) -> NeedsChange:
    """One error that says all of it."""
    error = NeedsChange(refused[0].reason, "; ".join(each.message for each in refused))
    error.parts = tuple(refused)
    return error


class Problem(NamedTuple):
    """One thing wrong with a manifest."""

    field: str
    """Path of the field, such as ``spec.models[1].path``; empty when it concerns the whole document."""
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class ManifestError(NeedsChange):
    """A manifest that cannot be used, with every problem found in it at once."""

    SHOWN = 8

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        shown = "; ".join(str(problem) for problem in problems[: self.SHOWN])
        if len(problems) > self.SHOWN:
            shown += f"; and {len(problems) - self.SHOWN} more"
        super().__init__(Reason.INVALID_SPEC, f"{source}: {shown}")
        self.source = source
        self.problems = problems
