"""The copies of a cache as values: one for each node of its group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from modelcache_operator.core.copy_record import CopyRecord
from modelcache_operator.core.messages import Message
from modelcache_operator.core.nodes import Node
from modelcache_operator.core.observed import Job
from modelcache_operator.core.status import SyncRecord

NO_MESSAGE = Message("", "")


class CopyState(StrEnum):
    """Of the copy on one node."""

    COMPLETE = "complete"
    SYNCING = "syncing"
    FAILED = "failed"
    MISSING = "missing"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Copy:
    """On one node of the group."""

    node: Node
    state: CopyState
    record: CopyRecord
    current: bool
    """It is proven, and has what the first copy has; a resync of it may be running."""
    available: bool
    job: Job | None = None
    """The one that syncs it now."""
    blocked: bool = False
    """The scheduler cannot place the Job's pod, or it does not start."""
    said: Message = NO_MESSAGE
    """Why it is not complete."""

    @property
    def to_come(self) -> bool:
        """Its turn is now or next."""
        return self.state in (CopyState.MISSING, CopyState.SYNCING)


@dataclass(frozen=True, slots=True)
class Copies:
    """All of a cache."""

    record: SyncRecord
    """Of the cache, up to date."""
    each: tuple[Copy, ...] = ()
    """By name of the node."""
    unwanted: tuple[Job, ...] = ()
    """Jobs of nodes that are gone or have no copy any more, and those that a container keeps from finishing."""
    same_volume: tuple[str, ...] = ()
    """Two nodes that have one volume."""
    wake_at: float | None = None

    def count(self, state: CopyState) -> int:
        return sum(copy.state is state for copy in self.each)

    @property
    def settled(self) -> bool:
        """Nothing is to come but retries, and nodes that come back."""
        return not any(copy.to_come for copy in self.each)


def same_volume(copies: Iterable[Copy]) -> tuple[str, ...]:
    """Two of their nodes, if they have one. A node that has left the group may have given its disk to another one."""
    seen: dict[str, str] = {}
    for copy in copies:
        volume, name = copy.record.volume_id, copy.node.name
        if volume and (first := seen.setdefault(volume, name)) != name:
            return first, name
    return ()
