"""One run of a container: a process group of its own, a log file, and what it left in its termination log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.runner.statuses import Ended, now, termination_message


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, all paths being local ones."""

    arguments: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    message: Path
    """The termination log."""
    log: Path


class ContainerProcess:
    """A running process with all its children."""

    def __init__(self, command: Command, process: asyncio.subprocess.Process) -> None:
        self._command = command
        self._process = process
        self._started_at = now()

    @classmethod
    async def start(cls, command: Command) -> ContainerProcess:
        """Raises OSError when there is no such program."""
        command.message.write_bytes(b"")
        with command.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(command.env),
                cwd=command.folder,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
            )
        return cls(command, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> Ended:
        """Until the program ends or nobody waits any more; its children end with it, as with a container's PID 1."""
        try:
            code = await self._process.wait()
        finally:
            self.signal(signal.SIGKILL)
        message = termination_message(self._command.message.read_bytes())
        return Ended(code if code >= 0 else 128 - code, message, self._started_at, now())

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def end(self, grace_s: float) -> None:
        """SIGTERM to the program, SIGKILL to everything that is left when the time is over."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()
