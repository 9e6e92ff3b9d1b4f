"""The queue of names, and the end of tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from modelcache_operator.app.process import cancelled
from modelcache_operator.app.queue import WorkQueue


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 5))


def test_a_name_is_queued_once_however_often_it_is_added() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_all(["a", "a", "b", "a"])
        assert [await queue.take(), await queue.take()] == ["a", "b"]
        assert len(queue) == 0

    run(work())


def test_a_name_added_while_it_is_handled_is_handled_once_more_and_never_twice_at_once() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        assert await queue.take() == "a"
        queue.add_all(["a", "a"])
        assert len(queue) == 0
        queue.done("a")
        assert await queue.take() == "a"
        queue.done("a")
        assert queue.idle()

    run(work())


def test_of_two_later_moments_the_earlier_counts() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_later("a", 60)
        queue.add_later("a", 0.01)
        queue.add_later("a", 60)
        assert await queue.take() == "a"

    run(work())


def test_a_closed_queue_hands_out_what_it_has_and_takes_no_more() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        queue.close()
        queue.add("b")
        queue.add_later("c", 0.0)
        assert await queue.take() == "a"
        queue.add("a")
        queue.done("a")
        await asyncio.sleep(0)
        assert queue.idle()

    run(work())


def test_a_task_that_will_not_end_does_not_hold_up_the_end() -> None:
    async def stubborn(released: asyncio.Event) -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    async def scenario() -> None:
        released = asyncio.Event()
        tasks = [
            asyncio.create_task(stubborn(released), name="one that stays"),
            asyncio.create_task(asyncio.sleep(60), name="one that goes"),
        ]
        await asyncio.sleep(0)
        assert await cancelled(tasks, 0.05) == ["one that stays"]
        assert tasks[1].cancelled()
        released.set()
        await tasks[0]
        assert await cancelled([], 0.05) == []

    asyncio.run(scenario())
