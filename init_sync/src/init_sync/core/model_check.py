"""What a look at the volume found of one model, as values."""

from collections.abc import Mapping
from typing import NamedTuple

from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt
from init_sync.core.spec import Model


class Finding(NamedTuple):
    """One thing that is not as it must be."""

    path: str
    reason: Reason
    message: str


class ModelCheck(NamedTuple):
    """How complete one model is."""

    model: Model
    reason: Reason | None = None
    """Why it is not complete; None when it is."""
    message: str = ""
    receipt: Receipt | None = None
    """With the present times of files that were touched and still have the right content."""
    findings: tuple[Finding, ...] = ()
    sizes: Mapping[str, int] = {}
    """Bytes by path of every file that it needs, as far as that is known."""
    present: Mapping[str, int] = {}
    """Bytes by path of what is there: all of a verified file, some of a partial one."""
    valid: frozenset[str] = frozenset()
    """Paths of the files that have their size, and, with a receipt, their content."""
    commit: str | None = None
    chosen: Mapping[str, str] = {}
    outdated_receipt: bool = False
    """Whether the receipt on the volume has other times, or times too young to be trusted next time."""

    lacks_digest: bool = False
    """Whether the receipt on the volume has no digest, as those of version 0.1.0."""

    @property
    def complete(self) -> bool:
        return self.reason is None
