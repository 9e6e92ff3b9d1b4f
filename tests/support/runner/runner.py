"""The runner as a context manager, in a thread with a loop of its own; at its end no process of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.kubeapi.async_client import AsyncClient
from support.runner.addresses import Addresses
from support.runner.container import Pauses, RunRecord
from support.runner.images import Image
from support.runner.node import NodeLoop
from support.runner.pod import Node
from support.runner.view import View
from support.runner.volumes import log_file

Json = dict[str, Any]
NODE = "node-1"
END_S = 10.0
"""For containers that still run at the end; longer graces are cut to this."""


class Runner:
    """Serves one namespace or, without one, all. ``runs`` lists every run of a container that is over."""

    def __init__(
        self,
        kubeconfig: Path,
        folder: Path,
        images: Mapping[str, Image],
        capacity: Mapping[str, int] | None = None,
        pauses: Pauses | None = None,
        job_pause_s: float = 10.0,
        env: Mapping[str, str] | None = None,
        namespace: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.runs: list[RunRecord] = []
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._node = Node(NODE, folder, images, env or {}, pauses or Pauses(), self.runs)
        self._capacity = capacity or {}
        self._job_pause_s = job_pause_s
        self._addresses = Addresses()
        self._loop: asyncio.AbstractEventLoop
        self._main: asyncio.Task[None]
        self._running = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._serve, name="runner", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def log(self, pod: Json, container: str, previous: bool) -> bytes | None:
        """What the API serves as a pod's log."""
        path = log_file(self._node.folder, pod, container, previous)
        return path.read_bytes() if path and path.exists() else None

    def __enter__(self) -> Self:
        self._thread.start()
        self._running.wait()
        if self._error:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(RuntimeError):  # it ended by itself
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()
        self._addresses.close()
        if self._error and value is None:
            raise self._error

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # told in the caller's thread
            self._error = error
        finally:
            self._running.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with AsyncClient(self._kubeconfig) as client:
            view = View(client, self._namespace)
            loop = NodeLoop(self._node, view, self._addresses, self._capacity, self._job_pause_s)
            self._main = asyncio.create_task(loop.run())
            self._running.set()
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await self._main
            finally:
                await loop.close(END_S)
