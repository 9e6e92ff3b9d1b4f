"""Probes: ``/healthz`` for liveness, ``/readyz`` for "this is the active operator and it has seen everything once".

kopf cannot tell how old its watches are, so liveness is judged by the full lists: as long as they are tried, the
process works. An API that is away is no reason to be restarted. kopf's own probe would answer only once its watches
run, and it knows no readiness.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from init_sync.shell.flags import WrongSettings
from init_sync.shell.listen import CannotListen, listen


class Health:
    """``tried_at``: when a list was begun last, by the monotonic clock; None while none is due."""

    def __init__(self, tried_at: Callable[[], float | None], ready: Callable[[], bool], limit_s: float) -> None:
        self._tried_at = tried_at
        self._ready = ready
        self._limit = limit_s

    async def healthz(self, _request: web.Request) -> web.Response:
        tried_at = self._tried_at()
        silent = time.monotonic() - tried_at if tried_at is not None else 0.0
        problem = f"no full list was tried for {silent:.0f} s" if silent > self._limit else ""
        return web.Response(status=503 if problem else 200, text=(problem or "ok") + "\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        ready = self._ready()
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "standing by\n")


async def serve(health: Health, port: int) -> tuple[web.AppRunner, int]:
    """Returns what to clean up, and the port that was taken.

    Raises:
        WrongSettings: when the port is not free.
    """
    app = web.Application()
    app.add_routes([web.get("/healthz", health.healthz), web.get("/readyz", health.readyz)])
    try:
        listener = listen(port)
    except CannotListen as error:
        raise WrongSettings([f"--health-port: {error}"]) from error
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner, int(listener.getsockname()[1])
