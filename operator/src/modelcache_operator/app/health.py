"""Probes: ``/healthz`` for liveness, ``/readyz`` for "this is the active operator and it has seen everything once".

kopf cannot tell how old its watches are, so liveness is judged by the full lists: as long as the API answers them, the
process works. An API that is away is no reason to be restarted, so failed tries count as signs of life, a loop that
stands still does not.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from aiohttp import web

from modelcache_operator.app.settings import port_refused


class Health:
    """Fed by the process, read by the kubelet."""

    def __init__(self, limit_s: float) -> None:
        self._limit = limit_s
        self._alive_at = time.monotonic()
        self.synced = False
        """Whether everything was listed once."""
        self.active: Callable[[], bool] = lambda: False

    def alive(self) -> None:
        """A sign of life."""
        self._alive_at = time.monotonic()

    def problem(self) -> str:
        silent = time.monotonic() - self._alive_at
        return f"no full list was tried for {silent:.0f} s" if silent > self._limit else ""

    async def healthz(self, _request: web.Request) -> web.Response:
        problem = self.problem()
        return web.Response(status=503 if problem else 200, text=(problem or "ok") + "\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        ready = self.synced and self.active()
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "standing by\n")


async def serve(health: Health, port: int) -> tuple[web.AppRunner, int]:
    """Returns what to clean up, and the port that was taken.

    Raises:
        WrongSettings: when the port is not free.
    """
    app = web.Application()
    app.add_routes([web.get("/healthz", health.healthz), web.get("/readyz", health.readyz)])
    try:
        listener = _listen(port)
    except OSError as error:
        raise port_refused("--health-port", port, error) from error
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner, int(listener.getsockname()[1])


def _listen(port: int) -> socket.socket:
    """On every address, of both families where there are both: one port, though it was picked."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
