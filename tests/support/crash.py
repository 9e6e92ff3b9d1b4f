"""Commands that start at once and die on demand: at a chosen change of the volume, or whenever the test says.

A process with everything imported forks one ``init-sync`` after the other, so that hundreds of runs cost their work
and not their imports. The command itself is the real one, and what ends it is a real SIGKILL.

    with Nursery(hub.endpoint, folder) as nursery:
        run = nursery.start("sync", manifest, volume, kill_at=17)   # before its 17th change of a file or directory
        assert run.wait() == -signal.SIGKILL

Between the two processes goes one JSON object a line: an order down, ``{"pid": n}`` and then ``{"status": n,
"changes": n}`` up, and ``{}`` down when the dead process may be forgotten: until then its id cannot belong to another.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from support.sync import command, environment

CHANGES = ("pwrite", "write", "replace", "rename", "symlink", "link", "unlink", "ftruncate", "fsync", "mkdir", "rmdir")
"""Functions of ``os`` that change a volume: an armed command dies right before one of their calls."""
LONGEST_S = 100.0
"""More than a sync's patience with a dead hub, and a busy machine."""
TORN = ("pwrite", "write")
"""Of these, half is done before it dies."""


@dataclass(slots=True)
class Run:
    """One command on its way."""

    pid: int
    output_file: Path
    _nursery: Nursery
    _status: int | None = None
    changes: int = 0
    """How many changes of the volume it made; known after ``wait``, and only if it was not killed."""

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        if self._status is None:
            os.kill(self.pid, number)

    @property
    def over(self) -> bool:
        """Dead, though still remembered by the process that started it."""
        if self._status is not None:
            return True
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "ZX"

    def wait(self, timeout_s: float = LONGEST_S) -> int:
        """Its exit code; negative for the signal that ended it. One that does not end in time is killed, and told."""
        if self._status is None:
            late = not _ends_within(self.pid, timeout_s)
            if late:
                self.kill()
            answer = self._nursery._read()
            self._status, self.changes = int(answer["status"]), int(answer["changes"])
            self._nursery._send({})
            if late:
                raise TimeoutError(f"no end after {timeout_s:g} s: {self.output[-2000:]}")
        return self._status

    @property
    def output(self) -> str:
        """Empty when it died before it could say anything."""
        return self.output_file.read_text() if self.output_file.exists() else ""


class Nursery:
    """Starts commands against one hub, one at a time."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.crash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **environment(None),
                "HF_ENDPOINT": endpoint,
                "PYTHONPATH": os.pathsep.join(
                    filter(None, [os.environ.get("PYTHONPATH"), str(Path(__file__).parent.parent)])
                ),
            },
        )

    def start(
        self,
        verb: str,
        spec: Mapping[str, Any] | Path,
        volume: Path,
        *arguments: str,
        kill_at: int | None = None,
        program: str = "init_sync.app.cli",
    ) -> Run:
        """``program``: a module with a function ``run`` that takes the arguments and returns the exit code."""
        output = self._folder / f"{volume.name}.output"
        arguments_only = command(verb, spec, volume, *arguments)[3:]
        order = {"arguments": arguments_only, "output": str(output), "killAt": kill_at, "program": program}
        self._send(order)
        return Run(int(self._read()["pid"]), output, self)

    def run(self, verb: str, spec: Mapping[str, Any] | Path, volume: Path, *arguments: str) -> Run:
        started = self.start(verb, spec, volume, *arguments)
        started.wait()
        return started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _pipe(self._process.stdin).close()
        self._process.wait(timeout=30)
        _pipe(self._process.stdout).close()

    def _send(self, message: Mapping[str, Any]) -> None:
        stream = _pipe(self._process.stdin)
        stream.write(json.dumps(message) + "\n")
        stream.flush()

    def _read(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError("the process that starts commands has ended; see its output above")
        message: dict[str, Any] = json.loads(line)
        return message


def _ends_within(pid: int, timeout_s: float) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _serve() -> None:
    """Fork for each order that comes in."""
    # Imported here once, instead of in every command; the library loads its own parts when a name is asked for.
    import encodings.idna  # noqa: F401

    import yaml  # noqa: F401
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: F401

    import support.preparing  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        count_read, count_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(count_read)
            _carry_out(order, count_write)
        os.close(count_write)
        _say({"pid": pid})
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        with os.fdopen(count_read) as stream:
            changes = int(stream.read() or 0)
        killed = ended.si_code != os.CLD_EXITED
        _say({"status": -ended.si_status if killed else ended.si_status, "changes": changes})
        sys.stdin.readline()
        os.waitpid(pid, 0)


def _say(message: Mapping[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _carry_out(order: Mapping[str, Any], count_write: int) -> None:
    """The command, in the forked process; never returns."""
    code = 70
    try:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        plain_write = os.write
        changes = _arm(order["killAt"])
        code = importlib.import_module(order["program"]).run(order["arguments"])
        plain_write(count_write, str(next(changes) - 1).encode())
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _arm(kill_at: int | None) -> itertools.count[int]:
    """Count the changes, and die before number ``kill_at``."""
    numbers = itertools.count(1)
    for name in CHANGES:
        setattr(os, name, _counted(getattr(os, name), name, numbers, kill_at))
    return numbers


def _counted(
    change: Callable[..., Any], name: str, numbers: itertools.count[int], kill_at: int | None
) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        if next(numbers) == kill_at:
            if name in TORN:
                descriptor, data, *rest = arguments
                change(descriptor, memoryview(data)[: len(data) // 2], *rest)
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*arguments, **named)

    return counted


if __name__ == "__main__":
    _serve()
