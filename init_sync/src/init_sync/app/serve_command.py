"""``init-sync serve``: the server, with its log, signals and refusals."""

from __future__ import annotations

import gc
import logging
import os
import signal
from contextlib import suppress

from init_sync.app.arguments import Serve
from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.serve.metrics import Metrics
from init_sync.serve.server import Server
from init_sync.serve.service import Service
from init_sync.serve.store import Store
from init_sync.serve.token import Token
from init_sync.shell import logs
from init_sync.shell.flags import WrongSettings
from init_sync.shell.listen import CannotListen, listen, url
from init_sync.volume.volume import Volume, volume_problem

log = logging.getLogger(__name__)


def serve(settings: Serve) -> int:
    """Serve until a signal; returns 0. Raises NeedsChange or WrongSettings."""
    gc.enable()
    logs.set_up(settings, "init_sync")
    volume = Volume(settings.volume)
    if problem := volume_problem(volume):
        raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
    metrics, store = Metrics(), Store(volume)
    metrics.watch("held_bytes", "Bytes of files that receipts prove.", lambda: store.offered.held_bytes)
    metrics.watch("commits", "Commits of repositories that are offered.", lambda: store.offered.commits)
    service = Service(store, _token(settings.token_file), metrics)
    try:
        listener = listen(settings.port, settings.host)
    except CannotListen as error:
        raise WrongSettings([str(error)]) from error
    server = Server(listener, service, metrics)
    _handle_signals(server)
    log.info("serving", extra=logs.fields(volume=volume.root, url=url(listener)))
    with suppress(OSError):  # a volume that cannot be read now is answered 503
        store.catalog()
    server.run()
    server.close()
    log.info("ended")
    return 0


def _token(path: str | None) -> Token | None:
    if path is None:
        return None
    try:
        return Token(path)
    except (OSError, ValueError) as error:
        cause = (isinstance(error, OSError) and error.strerror) or error
        raise WrongSettings([f"--token-file {path}: {cause}"]) from error


def _handle_signals(server: Server) -> None:
    """The first signal ends the server in peace, a second one at once."""

    def end(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(1))
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
