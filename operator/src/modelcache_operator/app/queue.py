"""The work queue: names of caches, each at most once, never handled twice at the same time.

A name that is added while it is being handled is handled once more afterwards. A name may also be added for later; the
earliest such moment counts. What is not accepted at that moment is not added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WorkQueue(Generic[Item]):
    """For one event loop."""

    def __init__(self, accepts: Callable[[Item], bool] = lambda _: True) -> None:
        self._accepts = accepts
        self._ready: asyncio.Queue[Item] = asyncio.Queue()
        self._waiting: set[Item] = set()
        self._working: set[Item] = set()
        self._again: set[Item] = set()
        self._timers: dict[Item, asyncio.TimerHandle] = {}
        self._closed = False

    def __len__(self) -> int:
        """Names that are ready and not yet taken."""
        return len(self._waiting)

    def close(self) -> None:
        """What is there will be handled, nothing is added any more."""
        self._closed = True

    def add(self, item: Item) -> None:
        self._cancel(item)
        if self._closed or not self._accepts(item):
            return
        if item in self._working:
            self._again.add(item)
        elif item not in self._waiting:
            self._waiting.add(item)
            self._ready.put_nowait(item)

    def add_all(self, items: Iterable[Item]) -> None:
        for item in items:
            self.add(item)

    def add_later(self, item: Item, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        timer = self._timers.get(item)
        if timer and timer.when() <= loop.time() + delay_s:
            return
        self._cancel(item)
        self._timers[item] = loop.call_later(max(0.0, delay_s), self.add, item)

    async def take(self) -> Item:
        """The next name; ``done`` must follow."""
        item = await self._ready.get()
        self._waiting.discard(item)
        self._working.add(item)
        return item

    def done(self, item: Item) -> None:
        self._working.discard(item)
        if item in self._again:
            self._again.discard(item)
            self.add(item)

    def idle(self) -> bool:
        """Nothing is ready and nothing is being handled."""
        return not self._waiting and not self._working

    def _cancel(self, item: Item) -> None:
        if timer := self._timers.pop(item, None):
            timer.cancel()
