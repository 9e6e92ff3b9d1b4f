"""Programs that start at once: a process that has imported their modules forks one run after the other.

Importing costs more processor time than most runs do. A forked run is a process of its own like any other: it has its
own command line, environment, output and exit code, and ends by its own signals. What it lacks is the start of the
interpreter, so tests of that (and of variables that the interpreter itself reads) start a real one.

    server = ForkServer("init_sync.app.cli")
    assert server.run("init_sync.__main__:main", ["--help"], os.environ).returncode == 0

A start is one byte with three descriptors (a channel, stdout, stderr); the order comes down the channel as JSON. Up the
channel come the process id, with a descriptor of the process, and in the end its exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.surroundings import neutral

TESTS = Path(__file__).parents[1]
PID_BYTES = 16


class Forked:
    """One run, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, channel: socket.socket) -> None:
        self.returncode: int | None = None
        self._channel = channel
        text, (self._descriptor,), _, _ = socket.recv_fds(channel, PID_BYTES, 1)
        self.pid = int(text)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; negative for the signal that ended it."""
        if self.returncode is None:
            self._channel.settimeout(timeout)
            try:
                text = self._channel.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from None
            self.returncode = int(text)
            self._channel.close()
            os.close(self._descriptor)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """A process that has ``modules`` imported; starts when it is first needed, and ends with this one."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._control: socket.socket | None = None

    def start(
        self, target: str, arguments: Sequence[str], environment: Mapping[str, str], *, stdout: int, stderr: int
    ) -> Forked:
        """Run ``target``, a ``module:function`` without parameters, as the main program."""
        order = {"target": target, "arguments": arguments, "environment": dict(environment), "folder": os.getcwd()}
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            self._control = self._control or self._started()
            socket.send_fds(self._control, [b"+"], [theirs.fileno(), stdout, stderr])
        ours.sendall(json.dumps(order).encode() + b"\n")
        return Forked(ours)

    def run(
        self, target: str, arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float = 50
    ) -> subprocess.CompletedProcess[str]:
        """Run ``target`` to its end."""
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            run = self.start(target, arguments, environment, stdout=stdout.fileno(), stderr=stderr.fileno())
            try:
                code = run.wait(timeout_s)
            finally:
                run.kill()
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "support.forking", str(theirs.fileno()), *self._modules],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=neutral(os.environ) | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            )
        atexit.register(_end, ours, process)
        return ours


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    process.wait(10)


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each order that comes in; returns an order in the process that carries it out, and None in the end."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not control:
                selector.unregister(key.fd)
                _tell_end(key.fd, *key.data)
                continue
            _, descriptors, _, _ = socket.recv_fds(control, 1, 3)
            if not descriptors:
                return None
            channel = socket.socket(fileno=descriptors[0])
            pid = os.fork()
            if pid == 0:
                _close_others(selector)
                return _taken_on(channel, *descriptors[1:])
            process = os.pidfd_open(pid)
            socket.send_fds(channel, [str(pid).ljust(PID_BYTES).encode()], [process])
            for descriptor in descriptors[1:]:
                os.close(descriptor)
            selector.register(process, selectors.EVENT_READ, (pid, channel))


def _tell_end(descriptor: int, pid: int, channel: socket.socket) -> None:
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    with channel, contextlib.suppress(OSError):  # nobody may be there to be told
        channel.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _close_others(selector: selectors.BaseSelector) -> None:
    """Close what belongs to the server and to other runs."""
    for key in list(selector.get_map().values()):
        if key.data is None:
            key.fileobj.close()  # type: ignore[union-attr]
        else:
            os.close(key.fd)
            key.data[1].close()
    selector.close()


def _taken_on(channel: socket.socket, stdout: int, stderr: int) -> dict[str, Any]:
    """Become the run that the order asks for."""
    with channel, channel.makefile() as stream:
        order: dict[str, Any] = json.loads(stream.readline())
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for descriptor in {stdout, stderr} - {1, 2}:
        os.close(descriptor)
    # As with PYTHONUNBUFFERED; those of the server believe that they still write to its own files.
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), errors="backslashreplace", write_through=True)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    return order


def main() -> None:
    control, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # a collection in a forked process would copy all that was imported
    order = _serve(socket.socket(fileno=int(control)))
    if order is not None:
        module, _, function = order["target"].partition(":")
        sys.argv = [module, *order["arguments"]]
        sys.exit(getattr(importlib.import_module(module), function)())


if __name__ == "__main__":
    main()
