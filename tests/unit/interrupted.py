"""A partial file, and the ways in which a run leaves it."""

from __future__ import annotations

import hashlib
import random
import zlib
from dataclasses import dataclass
from pathlib import Path

from init_sync.volume.layout import partial_path
from init_sync.volume.partial import Partial, Recovered
from init_sync.volume.spans import Span, missing
from init_sync.volume.volume import Volume

STRETCH = 1000
SIZE = 10 * STRETCH
CONTENT = random.Random(7).randbytes(SIZE)
CONTENT_ID = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@dataclass(frozen=True)
class Download:
    """A partial file under a volume, and the ways in which a run leaves it."""

    volume: Volume

    @property
    def part(self) -> Path:
        return Path(self.volume.at(partial_path(CONTENT_ID) + ".part"))

    @property
    def journal(self) -> Path:
        return Path(self.volume.at(partial_path(CONTENT_ID) + ".journal"))

    def interrupted(self, front: int = 0, ahead: tuple[Span, ...] = (), *, step: int = STRETCH) -> None:
        """Receive [0, front) in order and ``ahead`` out of order, recording every ``step`` bytes, then die."""
        partial = Partial(self.volume, CONTENT_ID, SIZE)
        recovered = partial.open()
        digest = recovered.digest
        for start in range(recovered.hashed, front, step):
            end = min(start + step, front)
            partial.write(memoryview(CONTENT)[start:end], start)
            digest.update(CONTENT[start:end])
            partial.record_hashed(end, digest)
        for start, end in ahead:
            partial.write(memoryview(CONTENT)[start:end], start)
            partial.record_ahead(start, end, zlib.crc32(CONTENT[start:end]))
        partial.close()

    def reopened(self) -> Recovered:
        partial = Partial(self.volume, CONTENT_ID, SIZE)
        try:
            return partial.open()
        finally:
            partial.close()

    def damage(self, start: int, end: int) -> None:
        with self.part.open("r+b") as file:
            file.seek(start)
            file.write(bytes(end - start))

    def append(self, text: str) -> None:
        with self.journal.open("a") as file:
            file.write(text)


def assert_right(recovered: Recovered, download: Download) -> None:
    """Every byte that is kept is right, and the digest is the one of the bytes before ``hashed``."""
    held = download.part.read_bytes()
    for start, end in recovered.spans:
        assert held[start:end] == CONTENT[start:end]
    assert recovered.digest.hexdigest() == hashlib.sha256(CONTENT[: recovered.hashed]).hexdigest()
    assert missing(recovered.spans, SIZE) == [] or recovered.hashed < SIZE
