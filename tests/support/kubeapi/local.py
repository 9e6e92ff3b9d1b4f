"""The in-memory API as a context manager."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from support.kubeapi.access import write_kubeconfig
from support.kubeapi.server import LogSource, Server
from support.kubeapi.serving import Serving


class LocalApi:
    """``with LocalApi() as api: ... api.url``."""

    def __init__(self) -> None:
        self._serving = Serving(self._application)
        self._server: Server | None = None
        self.logs: LogSource = lambda *_: None
        """Who knows what containers wrote: a runner, if there is one."""

    @property
    def url(self) -> str:
        return self._serving.url

    def __enter__(self) -> LocalApi:
        self._serving.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._serving.close()

    def start(self) -> None:
        self._serving.start()

    def stop(self) -> None:
        """Connections are refused until ``start``; objects stay."""
        self._serving.stop()

    def kubeconfig(self, folder: Path) -> Path:
        return write_kubeconfig(folder / "kubeconfig", {"server": self.url}, {})

    def _application(self) -> web.Application:
        self._server = self._server or Server(lambda *asked: self.logs(*asked))  # objects outlive a restart
        return self._server.application()
