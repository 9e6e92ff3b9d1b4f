"""The in-memory API as a context manager, in a thread with a loop of its own; it keeps its port over ``stop``."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import yaml
from aiohttp import web

from support.kubeapi.faults import Call, Faults
from support.kubeapi.server import Server

Result = TypeVar("Result")


class LocalApi:
    """``with LocalApi() as api: ... api.url``."""

    def __init__(self, port: int = 0) -> None:
        self.faults = Faults()
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes api", daemon=True)
        self._runner: web.AppRunner | None = None
        self._server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def calls(self) -> Counter[Call]:
        """Every request so far, discovery aside."""
        return self._server.calls

    def __enter__(self) -> LocalApi:
        self._thread.start()
        self._server = self._run(self._make())
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._run(_end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        self._run(self._listen())

    def stop(self) -> None:
        """Connections are refused until ``start``; objects stay."""
        if self._runner:
            self.cut_watches()
            self._run(self._runner.cleanup())
            self._runner = None

    def cut_watches(self) -> int:
        async def cut() -> int:
            return self._server.watches.cut()

        return self._run(cut())

    def forget_history(self) -> None:
        """Whoever resumes a watch from an earlier version is told 410 Gone and must list again."""

        async def forget() -> None:
            self._server.storage.history.clear()
            self._server.storage.version += 1000

        self._run(forget())

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "test"}}],
            "current-context": "local",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    async def _make(self) -> Server:
        return Server(self.faults)

    async def _listen(self) -> None:
        self._runner = web.AppRunner(
            self._server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)


async def _end_tasks() -> None:
    """Handlers whose client has just gone may still be on their way out."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
