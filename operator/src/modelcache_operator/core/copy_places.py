"""Places for pods on nodes: one for each pod, among those that it can use.

A pod that came earlier moves to another place of its own if that makes room for one more, so as many pods as possible
have a place (a maximum matching in a bipartite graph, by augmenting paths). Sets of places are numbers, as in
``node_index``.
"""

from __future__ import annotations

from collections.abc import Iterator


class Places:
    """Who has which."""

    def __init__(self) -> None:
        self._taken: dict[int, int] = {}
        """A place, and all those that its pod can use."""
        self._occupied = 0
        self._full = 0
        """Places that are never free again: the pods that have them can use no others."""

    def take(self, own: int) -> bool:
        """Give one of ``own`` to one more pod; returns whether there is one."""
        came_from: dict[int, int] = {}
        ways, seen = [(own, 0)], self._full
        for usable, place in ways:
            if free := usable & ~self._occupied:
                self._move(free & -free, place, came_from, own)
                return True
            for taken in _each(usable & ~seen):
                came_from[taken] = place
                ways.append((self._taken[taken], taken))
            seen |= usable
        self._full = seen
        return False

    def _move(self, free: int, place: int, came_from: dict[int, int], own: int) -> None:
        self._occupied |= free
        while place:
            self._taken[free] = self._taken[place]
            free, place = place, came_from[place]
        self._taken[free] = own


def _each(places: int) -> Iterator[int]:
    while places:
        yield (first := places & -places)
        places ^= first
