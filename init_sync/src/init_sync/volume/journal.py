"""The journal of a partial file: which of its bytes can be kept.

H 1 sha256:9f86... 9847223624          format, content id and size; any other first line voids the journal
P 4194304 5d8f0c31a2b4e6f7             bytes [0, 4194304) hash to this (first 16 digits)
C 67108864 71303168 9ae0daaf           bytes [67108864, 71303168) have this CRC-32; received ahead of the hash
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from init_sync.volume.spans import Span, merged
from init_sync.volume.volume import Volume

CHECK_DIGITS = 16
CRC_DIGITS = 8
MAX_JOURNAL_BYTES = 64 << 20


def header(content_id: str, size: int) -> str:
    """The first line of the journal of this content."""
    return f"H 1 {content_id} {size}"


@dataclass(slots=True)
class Records:
    """The lines of a journal that could be read."""

    hashed: dict[int, set[str]] = field(default_factory=dict)
    """Checks by end; more than one when bytes were downloaded again after a crash."""
    ahead: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, line: str, size: int) -> None:
        kind, *fields = line.split(" ")
        if kind == "P" and len(fields) == 2 and len(fields[1]) == CHECK_DIGITS and 0 < int(fields[0]) <= size:
            self.hashed.setdefault(int(fields[0]), set()).add(fields[1])
        elif kind == "C" and len(fields) == 3 and len(fields[2]) == CRC_DIGITS:
            start, end, crc = int(fields[0]), int(fields[1]), int(fields[2], 16)
            if 0 <= start < end <= size:
                self.ahead.append((start, end, crc))

    def spans(self) -> list[Span]:
        front = max(self.hashed, default=0)
        return merged([(0, front), *((start, end) for start, end, _ in self.ahead)])


def read_journal(volume: Volume, path: str, header: str) -> Records | None:
    """The journal's lines; None when there is none or it belongs to something else."""
    try:
        with volume.open_file(path) as file:
            lines = file.read(MAX_JOURNAL_BYTES).decode(errors="replace").split("\n")
    except OSError:
        return None
    if lines[0] != header:
        return None
    records, size = Records(), int(header.rpartition(" ")[2])
    for line in lines[1:]:
        with contextlib.suppress(ValueError):  # a line that a crash cut off
            records.add(line, size)
    return records
