"""A lock directory with an injected clock, and waiters whose looks cost time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from init_sync.volume.layout import LOCK
from init_sync.volume.lock import Holder, LockTimings, VolumeLock
from init_sync.volume.volume import Volume
from support.clock import Clock


def nobody_to_wait_for(holder: Holder) -> None:
    raise AssertionError(f"waiting for {holder.owner}")


EXPIRY_S = 20.0
# The heartbeat thread never gets to beat by itself; looks at a held lease follow each other at once.
TIMINGS = LockTimings(heartbeat_s=86_400, expiry_s=EXPIRY_S, poll_s=0.0001)


@dataclass
class Waiting:
    """A waiter's callbacks: each look costs time, in which something can happen; patience ends it."""

    clock: Clock
    look_s: float = 1.0
    looks: int = 100
    meanwhile: Callable[[], None] = lambda: None
    holders: list[Holder] = field(default_factory=list)

    def tell(self, holder: Holder) -> None:
        self.holders.append(holder)

    def is_pointless(self) -> bool:
        self.clock.now_s += self.look_s
        self.meanwhile()
        return len(self.holders) >= self.looks


@dataclass
class Place:
    """A volume's lock directory."""

    volume: Volume
    clock: Clock = field(default_factory=Clock)
    leases: list[VolumeLock] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return Path(self.volume.at(LOCK))

    @property
    def newest(self) -> Path:
        return max(self.directory.iterdir(), key=lambda path: int(path.name))

    def lease(self) -> VolumeLock:
        self.leases.append(VolumeLock(self.volume, TIMINGS, self.clock))
        return self.leases[-1]

    def held(self) -> VolumeLock:
        lease = self.lease()
        assert lease.acquire(nobody_to_wait_for, lambda: False)
        return lease

    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.newest.read_bytes())
        return found

    def rewrite(self, **changes: object) -> None:
        """Change what the newest file says, as if somebody else had written it."""
        self.newest.write_text(json.dumps({**self.content(), **changes}).ljust(1024))

    def foreign(self) -> None:
        """A holder on another node, which is never heard of again."""
        self.held()
        self.rewrite(bootId="another-boot", owner="trainer-7 (process 1)")
