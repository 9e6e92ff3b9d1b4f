"""How the operator names a cache, or any object of a namespace: what tables are indexed by and the queue holds."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """Namespace and name."""

    namespace: str
    name: str
