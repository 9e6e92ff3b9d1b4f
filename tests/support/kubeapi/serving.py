"""An aiohttp application in a thread with a loop of its own; it keeps its port over ``stop`` and ``start``."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

Result = TypeVar("Result")


class Serving:
    """A context manager, on loopback. ``make`` is called in the loop, once for each start."""

    def __init__(self, make: Callable[[], web.Application]) -> None:
        self._make = make
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes api", daemon=True)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.run(_end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        self.run(self._listen())

    def stop(self) -> None:
        """Connections are refused until ``start``."""
        if self._runner:
            self.run(self._runner.cleanup())
            self._runner = None

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """In the loop, awaited from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        # Without handler_cancellation each stop would wait for the open watches.
        self._runner = web.AppRunner(self._make(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()


async def _end_tasks() -> None:
    """Handlers whose client has just gone may still be on their way out."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
