"""One run of a container: a process group of its own, a log file, and what it left in its termination log."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.runner.environment import PodFields, variables
from support.runner.images import Image
from support.runner.statuses import Ended, now, termination_message
from support.runner.volumes import container_paths

Json = dict[str, Any]
OF_THIS_MACHINE = ("PATH", "LANG", "OMP_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, all paths being local ones."""

    arguments: Sequence[str]
    env: Mapping[str, str]
    folder: Path

    @property
    def message(self) -> Path:
        """The termination log."""
        return self.folder / "message"


def compose(spec: Json, image: Image, fields: PodFields, mounted: Mapping[str, Path], folder: Path) -> Command:
    """``folder``: the container's own."""
    paths = container_paths(spec, mounted, folder)
    program = () if spec.get("command") else image.entrypoint  # a path of this machine, wherever it lies
    given = [paths.map(each) for each in [*(spec.get("command") or ()), *(spec.get("args") or ())]]
    env = {
        **{key: os.environ[key] for key in OF_THIS_MACHINE if key in os.environ},
        "HOME": str(folder),
        "HOSTNAME": fields.pod["metadata"]["name"],
        "PYTHONUNBUFFERED": "1",
        "SANDBOX_ADDRESS": fields.address,
        "SANDBOX_TERMINATION_LOG": str(folder / "message"),
        "TMPDIR": paths.map("/tmp"),
        **image.env,
        **{key: paths.map(value) for key, value in variables(spec, fields).items()},
    }
    return Command([*program, *given], env, folder)


class ContainerProcess:
    """A running program with all its children."""

    def __init__(self, command: Command, log: Path) -> None:
        """Raises OSError when there is no such program."""
        self._message = command.message
        self._message.write_bytes(b"")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=command.env,
                cwd=command.folder,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
            )
        self._exit = os.pidfd_open(self._process.pid)
        self.started_at = now()

    def ends_within(self, seconds: float) -> bool:
        """Told at the very moment, which a wait with a timeout is not."""
        return bool(select.select([self._exit], [], [], seconds)[0])

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def ended(self) -> Ended:
        """Its children end with it, as with a container's PID 1."""
        self.kill()
        code = self._process.wait()
        os.close(self._exit)
        message = termination_message(self._message.read_bytes())
        return Ended(code if code >= 0 else 128 - code, message, self.started_at, now())
