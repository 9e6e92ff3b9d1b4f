"""Fixtures that several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from init_sync.volume.volume import Volume
from support.locking import Place


@pytest.fixture
def place(volume: Path) -> Iterator[Place]:
    """A volume with an injected clock; every lease that was made is given back."""
    made = Place(Volume(str(volume)))
    yield made
    for lease in made.leases:
        lease.release()
