"""A server in a process of its own, with the drawing engine, for tests of signals and exit codes.

Run as a program it is `multitalk-server` with two parts changed: the engine draws, and the volume is whole when it
holds the file `whole`. What the engine waits for comes through a pipe, one byte a step.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from inference.generation import LoadProgress, VideoEngine
from inference.membership import Membership
from inference.server.config import ServerConfig, read_config
from inference.server.program import run
from inference.server.ranks import Ranks
from inference.server.volume import VolumeIncomplete
from inference_server.drawing_engine import DrawingEngine, PipeGate
from inference_server.harness import TIMEOUT_S
from support.waiting import eventually

TESTS = Path(__file__).parents[1]
STARTS_WITHIN_S = 60.0
"""On a busy machine torchrun alone takes a third of it."""


def verify(config: ServerConfig) -> None:
    if not (config.volume / "whole").exists():
        raise VolumeIncomplete(f"volume {config.volume} is incomplete: model 'base': FileMissing: whole")


def load(config: ServerConfig, on_progress: Callable[[LoadProgress], None], *, ranks: Ranks) -> VideoEngine:
    if config.gpus != 1:
        ranks.start(int(config.gpus))
    on_progress(LoadProgress("video autoencoder", 1, 2))
    logging.getLogger("library").warning("two lines\nfrom elsewhere")
    warnings.warn("old tensors", stacklevel=1)
    if config.base_dir == "broken":
        raise ValueError("base/weights.safetensors: tensor is missing")
    gate = PipeGate(int(os.environ["TEST_GATE"]))
    if config.base_dir == "slow":
        gate.wait(lambda: False)
    return DrawingEngine(gate)


def follow(config: ServerConfig, place: Membership) -> None:
    if config.audio_dir == f"broken on {place.rank}":
        raise ValueError("multitalk.safetensors: tensor is missing")
    logging.getLogger("inference.test").info("following")
    threading.Event().wait()


class ServerProcess:
    """Starts the program, reads its log, sends it signals."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        whole: bool = True,
        launch: Sequence[str] = (sys.executable, "-m", "inference_server.process"),
    ) -> None:
        volume = folder / "volume"
        volume.mkdir(exist_ok=True)
        if whole:
            (volume / "whole").touch()
        read_end, self._gate = os.pipe()
        command = [*launch, "--spec", "none", "--volume", str(volume)]
        command += ["--scratch", str(folder / "scratch"), "--host", "127.0.0.1", "--port", "0", *flags]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(TESTS)]),
            "TEST_GATE": str(read_end),
        }
        self.process = subprocess.Popen(
            command, env=environment, pass_fds=[read_end], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        os.close(read_end)
        self.log: list[str] = []
        self.url: str | None = None
        self._listening = threading.Event()
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.log.append(line.rstrip("\n"))
                if found := re.search(r"\blistening\b.*?(http://[^\s\"]+)", line):
                    self.url = found[1]
                    self._listening.set()
        self._listening.set()

    def client(self) -> httpx.Client:
        assert self._listening.wait(STARTS_WITHIN_S)
        assert self.url is not None, "\n".join(self.log)
        return httpx.Client(base_url=self.url, timeout=TIMEOUT_S)

    @contextmanager
    def ready_client(self, timeout_s: float = TIMEOUT_S) -> Iterator[httpx.Client]:
        with self.client() as client:
            eventually(lambda: client.get("/readyz").status_code == 200, "the server is ready", timeout_s)
            yield client

    def wait_ready(self) -> None:
        with self.ready_client():
            pass

    def allow_steps(self, count: int) -> None:
        os.write(self._gate, b"." * count)

    def peak_mib(self) -> int:
        """The most memory that it has had so far; children are not counted."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait_for_log(self, text: str, times: int = 1) -> None:
        self._wait_for_lines(re.escape(text), times)

    def _wait_for_lines(self, pattern: str, count: int) -> None:
        eventually(
            lambda: sum(re.search(pattern, line) is not None for line in self.log),
            f"the log says {pattern!r}",
            wanted=lambda found: found >= count,
        )

    def ranks(self, count: int) -> list[int]:
        """The process ids of that many other ranks, once they are started."""
        self._wait_for_lines(r"rank started.* pid=\d+", count)
        return [int(found[1]) for line in self.log if (found := re.search(r"rank started.* pid=(\d+)", line))]

    def exit_code(self, timeout_s: float = TIMEOUT_S) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(TIMEOUT_S)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.exit_code()
        os.close(self._gate)


if __name__ == "__main__":
    sys.exit(run(read_config(sys.argv[1:], os.environ), os.environ, verify=verify, load=load, follow=follow))
