"""Places for pods on nodes: one for each pod, among those that it can use.

A pod that came earlier moves to another place of its own if that makes room for one more, so as many pods as possible
have a place (a maximum matching in a bipartite graph, by augmenting paths).
"""

from __future__ import annotations


class Places:
    """Who has which."""

    def __init__(self) -> None:
        self._taken: dict[str, frozenset[str]] = {}
        """A place, and all those that its pod can use."""
        self._full: set[frozenset[str]] = set()
        """None of these is ever free again."""

    def take(self, own: frozenset[str]) -> bool:
        """Give one of ``own`` to one more pod; returns whether there is one."""
        if own in self._full:
            return False
        came_from: dict[str, str] = {}
        ways = [(own, "")]
        for usable, place in ways:
            if free := usable.difference(self._taken):
                self._move(min(free), place, came_from, own)
                return True
            for taken in usable.difference(came_from):
                came_from[taken] = place
                ways.append((self._taken[taken], taken))
        self._full.add(own)
        return False

    def _move(self, free: str, place: str, came_from: dict[str, str], own: frozenset[str]) -> None:
        while place:
            self._taken[free] = self._taken[place]
            free, place = place, came_from[place]
        self._taken[free] = own
