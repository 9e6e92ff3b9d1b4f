"""What the status remembers of the copy on one node, in some thirty characters: there may be a thousand of them.

    status.sync.copies: {"node-7": "3f2a91:0123456789:12:6ab3c5d0", "node-8": "77ab01::15:6ab3c600:2"}

A digest of the node's uid, first digits of the id of the volume that was proven complete (none: it is not proven;
``-``: it is, and has no id), number of the last Job taken into account, its end, and how many failed in a row.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

NODE_DIGITS, VOLUME_DIGITS = 6, 10
"""Ids of volumes are random: two of a thousand agree so far in one of 2 million clusters."""
UNKNOWN = "-"
TEXT = re.compile(r"([0-9a-f]{6}):([0-9a-f]{1,10}|-|):([0-9]{1,9}):([0-9a-f]{1,9})(?::([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """Of one node."""

    node: str = ""
    volume: str = ""
    attempt: int = 0
    at: int = 0
    failures: int = 0

    @property
    def proven(self) -> bool:
        return bool(self.volume)

    @property
    def volume_id(self) -> str:
        """As far as it is known."""
        return "" if self.volume == UNKNOWN else self.volume

    def text(self) -> str:
        said = f"{self.node}:{self.volume}:{self.attempt}:{self.at:x}"
        return f"{said}:{self.failures}" if self.failures else said


NOTHING = CopyRecord()


def _digest(node_uid: str) -> str:
    return hashlib.sha256(node_uid.encode()).hexdigest()[:NODE_DIGITS]


def proven(node_uid: str, volume_id: str, attempt: int, at: float) -> CopyRecord:
    return CopyRecord(_digest(node_uid), volume_id[:VOLUME_DIGITS] or UNKNOWN, attempt, int(at))


def failed(node_uid: str, attempt: int, at: float, failures: int) -> CopyRecord:
    return CopyRecord(_digest(node_uid), "", attempt, int(at), min(failures, 9999))


def read(text: str, node_uid: str) -> CopyRecord:
    """What is remembered of this node; nothing if it was another node of the same name."""
    found = TEXT.fullmatch(text)
    if found is None or found[1] != _digest(node_uid):
        return NOTHING
    return CopyRecord(found[1], found[2], int(found[3]), int(found[4], 16), int(found[5] or 0))
