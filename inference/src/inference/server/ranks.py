"""The processes that compute every step together with this one, on a GPU each.

With `--gpus N` this process, rank 0, starts N - 1 copies of its own command, and tells each its rank by the variables
that torchrun sets. Processes that torchrun has started are watched and ended by torchrun.

What a copy prints on stderr is printed here; if it ends, its last error is the reason.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import IO

from inference.membership import ALONE, Membership, membership_of
from inference.server.config import ServerConfig
from inference.server.exits import ERROR
from init_sync.shell.flags import WrongSettings
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
ENDS_WITHIN_S = 5.0
LINES_ARRIVE_WITHIN_S = 1.0


def membership(config: ServerConfig, environment: Mapping[str, str]) -> Membership:
    """The place of this process; raises WrongSettings where it does not go with the settings."""
    try:
        place = membership_of(environment)
    except ValueError as error:
        raise WrongSettings([str(error)]) from error
    if place.size > 1 and config.gpus not in (1, "all", place.size):
        raise WrongSettings([f"--gpus {config.gpus}: torchrun has started {place.size} processes. Leave out --gpus"])
    if (place.size > 1 or config.gpus != 1) and ":" in config.device:
        raise WrongSettings(
            [
                f"--device {config.device} is one device, and several are to make a video together. Use --device cuda, "
                "and choose which are visible by CUDA_VISIBLE_DEVICES"
            ]
        )
    return place


class Ranks:
    """The other processes: started, watched and ended here."""

    def __init__(self, place: Membership = ALONE, command: Sequence[str] = ()) -> None:
        self.place = place
        self.on_ended: Callable[[str], object] = lambda _: None
        self._command = command
        self._processes: list[subprocess.Popen[str]] = []
        self._reason: str | None = None
        self._one_ended = threading.Event()
        self._ending = False

    def start(self, size: int) -> Membership:
        """Start the others; returns the place of this process."""
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, "lo")  # the connections have no authentication: not beyond this machine
        # Bound here and handed to torch, so that nobody else can take the port meanwhile.
        listener = socket.create_server((LOOPBACK, 0), backlog=size)
        port = listener.getsockname()[1]
        self.place = Membership(
            0, size, 0, LOOPBACK, port, hosts_store=True, listener=listener.detach(), parent=os.getpid()
        )
        for rank in range(1, size):
            self._start(replace(self.place, rank=rank, local_rank=rank))
        return self.place

    def ended(self, timeout_s: float) -> str | None:
        """Which of them has ended, and how; waits for it."""
        if self._processes:
            self._one_ended.wait(timeout_s)
        return self._reason

    def end(self) -> None:
        """End them: they hold nothing that has to be saved."""
        self._ending = True
        for process in self._processes:
            process.kill()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a broken device cannot even die
                process.wait(ENDS_WITHIN_S)

    def _start(self, place: Membership) -> None:
        environment = os.environ | place.environment()
        process = subprocess.Popen(  # noqa: S603 - this process' own command
            self._command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._processes.append(process)
        log.info("rank started", extra=fields(rank=place.rank, pid=process.pid))
        threading.Thread(target=self._watch, args=(place.rank, process), name=f"rank-{place.rank}", daemon=True).start()

    def _watch(self, rank: int, process: subprocess.Popen[str]) -> None:
        errors: list[str] = []
        reader = threading.Thread(target=_print, args=(process.stderr, errors), name=f"rank-{rank}-stderr", daemon=True)
        reader.start()
        code = process.wait()
        reader.join(LINES_ARRIVE_WITHIN_S)  # not longer: a process of its own that outlives it holds the pipe open
        if self._ending or self._reason:
            return
        self._reason = errors[-1] if errors else f"rank {rank} {_how(code)}"
        self._one_ended.set()
        self.on_ended(self._reason)


def _print(stream: IO[str], errors: list[str]) -> None:
    for line in stream:
        with contextlib.suppress(OSError):  # nobody may read ours, and the pipe must not fill
            sys.stderr.write(line)
            sys.stderr.flush()
        if line.startswith(ERROR):
            errors.append(line.removeprefix(ERROR).strip())


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}; its lines above say why"
    name = signal.Signals(-code).name
    memory = ". The kernel does that where the pod reaches its memory limit" if name == "SIGKILL" else ""
    return f"was ended by {name}{memory}"
