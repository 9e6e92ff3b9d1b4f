"""The process: from the volume check to the exit code.

    volume complete? --no--> one line on stderr, exit 1
         | yes
    listen, load in a thread (/readyz 503) --fails--> one line on stderr, exit 1
         | loaded
    serve until SIGTERM or SIGINT --a rank is lost--> the running video fails, its client may read that for a while,
         |                                            one line on stderr, exit 1
    drain: POST returns 503, waiting videos fail at once, the running one may finish within `grace_s`, or fails and
           keeps what is made of it; its client may read the outcome for `linger_s`; GET keeps answering. A second
           signal hurries.
         |
    end the other ranks, exit 0

Kubernetes' terminationGracePeriodSeconds must be at least grace_s + linger_s + 10.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
from collections.abc import Callable, Generator
from functools import partial

import uvicorn

from inference.server.api_keys import KeysUnusable
from inference.server.app import create_app
from inference.server.config import ServerConfig
from inference.server.connections import BoundedConnection
from inference.server.engines import LoadEngine
from inference.server.exits import leave_at_once, refuse
from inference.server.job_queue import JobQueue
from inference.server.jobs import SHUTTING_DOWN
from inference.server.ranks import Ranks
from inference.server.scratch import ScratchError
from inference.server.service import Service
from inference.server.volume import Verify, VolumeIncomplete
from init_sync.shell import logs
from init_sync.shell.listen import CannotListen, listen, url
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

ENGINE_STOPS_S = 5.0
CONNECTIONS_CLOSE_S = 3
FAILURE_LINGER_S = 3.0
SWEEP_S = 30.0


def run(config: ServerConfig, *, verify: Verify, load: LoadEngine, ranks: Ranks | None = None) -> int:
    """Serve until a signal stops it; returns the exit code."""
    logs.set_up(config, "inference")
    try:
        service = Service(config, load, ranks=ranks)
        verify(config)
        service.scratch.open()
        listener = listen(config.port, config.host)
    except (KeysUnusable, VolumeIncomplete, ScratchError, CannotListen) as error:
        return refuse(str(error))
    code = asyncio.run(_with_signals(service, listener))
    engine_left = service.engine_left(ENGINE_STOPS_S)
    service.ranks.end()
    if not engine_left and code == 0:
        log.warning("engine abandoned")
    if not engine_left or service.ranks.place.size > 1:
        leave_at_once(code)
    return code


class Stop:
    """A request to stop: `ask` once to stop with grace, twice to hurry. Call it on the event loop's thread."""

    def __init__(self, queue: JobQueue) -> None:
        self.asked = asyncio.Event()
        self.hurried = False
        self._queue = queue

    def ask(self) -> None:
        if self.asked.is_set():
            self.hurried = True
            self._queue.wake()
        self.asked.set()


async def _with_signals(service: Service, listener: socket.socket) -> int:
    stop = Stop(service.queue)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask)
    return await serve(service, listener, stop)


async def serve(service: Service, listener: socket.socket, stop: Stop) -> int:
    """Serve requests on `listener` until `stop` is asked for or loading fails; returns the exit code."""
    loop = asyncio.get_running_loop()
    server = _Uvicorn(_uvicorn_config(service))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    sweeping = asyncio.create_task(_sweep(service))
    log.info("listening", extra=fields(url=url(listener)))
    service.start(on_failed=partial(loop.call_soon_threadsafe, stop.ask))
    await stop.asked.wait()
    failure = service.readiness.view().failure
    if failure is None:
        await drain(service, stop)
    else:
        service.refuse_new()
        if service.last_failed:
            await _until(service.queue, lambda q: q.running() is None, ENGINE_STOPS_S)  # until what is made is kept
            await _linger(service, stop, service.last_failed)
    sweeping.cancel()
    server.should_exit = True
    await serving
    service.scratch.close()
    log.info("stopped")
    return 0 if failure is None else refuse(failure)


async def drain(service: Service, stop: Stop) -> None:
    """Let the running video finish, or fail it; then let its client read the outcome."""
    queue, config = service.queue, service.config
    video_id = queue.running()
    log.info("draining", extra=fields(running=video_id or "none"))
    service.refuse_new()
    if video_id is None:
        return
    loop = asyncio.get_running_loop()
    idle_or_hurried = await _until(queue, lambda q: stop.hurried or q.running() is None, config.grace_s)
    ends = loop.time() + config.linger_s
    if not idle_or_hurried or stop.hurried:
        queue.abort_running(SHUTTING_DOWN)
        # The engine looks between two steps, and then keeps what it has made.
        await _until(queue, lambda q: stop.hurried or q.running() is None, config.linger_s)
        await _until(queue, lambda q: q.running() is None, ENGINE_STOPS_S)
    await _linger(service, stop, video_id, within_s=max(0.0, ends - loop.time()))


async def _linger(service: Service, stop: Stop, video_id: str, within_s: float = math.inf) -> None:
    ended = partial(_outcome_known, video_id=video_id)
    await _until(service.queue, lambda q: stop.hurried or ended(q), min(_linger_s(service, video_id), within_s))


def _outcome_known(queue: JobQueue, video_id: str) -> bool:
    job = queue.get(video_id)
    return job is None or job.fetched


def _linger_s(service: Service, video_id: str) -> float:
    job = service.queue.get(video_id)
    to_download = job is not None and job.clip is not None
    return service.config.linger_s if to_download else min(FAILURE_LINGER_S, service.config.linger_s)


async def _until(queue: JobQueue, condition: Callable[[JobQueue], bool], timeout_s: float) -> bool:
    return await asyncio.to_thread(queue.wait, condition, timeout_s)


async def _sweep(service: Service) -> None:
    pause_s = min(SWEEP_S, service.config.result_ttl_s / 2)
    while True:
        await asyncio.sleep(pause_s)
        await asyncio.to_thread(service.sweep)


def _uvicorn_config(service: Service) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(service),
        http=BoundedConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CONNECTIONS_CLOSE_S,
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: it would stop listening at once, and end by the signal instead of exit 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
