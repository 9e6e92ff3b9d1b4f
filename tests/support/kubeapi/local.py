"""The in-memory API as a context manager."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from support.kubeapi.access import write_kubeconfig
from support.kubeapi.server import LogSource, Server
from support.kubeapi.serving import Serving


class LocalApi(Serving):
    """``with LocalApi() as api: ... api.url``; objects stay over ``stop`` and ``start``."""

    def __init__(self) -> None:
        super().__init__(self._application)
        self._server: Server | None = None
        self.logs: LogSource = lambda *_: None
        """Who knows what containers wrote: a runner, if there is one."""

    def kubeconfig(self, folder: Path) -> Path:
        return write_kubeconfig(folder / "kubeconfig", {"server": self.url}, {})

    def _application(self) -> web.Application:
        self._server = self._server or Server(lambda *asked: self.logs(*asked))
        return self._server.application()
