"""The real operator as a process of its own, and what it logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

from support.forking import Forked, ForkServer
from support.log_schema import check_log_line
from support.surroundings import neutral
from support.waiting import eventually

Json = dict[str, Any]


HASTY = "support.hasty_operator"
REAL = "modelcache_operator"
OPERATORS = ForkServer(HASTY, "modelcache_operator.app.process")


class OperatorProcess:
    """The operator, in a hurry unless said otherwise; lines of its log are kept as objects."""

    def __init__(
        self,
        kubeconfig: Path,
        *arguments: str,
        namespaces: tuple[str, ...] = ("default",),
        module: str = HASTY,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = environment or {}
        scope = [each for name in namespaces for each in ("--namespace", name)] or ["--all-namespaces"]
        self._module = module
        self._arguments = [
            *("--kubeconfig", str(kubeconfig), *scope),
            *("--health-port", "0", "--metrics-port", "0", "--identity", "test-operator"),
            *("--lease-seconds", "4", "--full-list-seconds", "30", "--progress-seconds", "0.2"),
            *("--log-format", "json", *arguments),
        ]
        self.lines: list[Json] = []
        self._process: Forked | subprocess.Popen[str] | None = None
        self._output: IO[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> OperatorProcess:
        self.start()
        return self

    @contextmanager
    def running(self, ready: bool = True) -> Iterator[OperatorProcess]:
        """Started, and stopped at the end; not waited for, if it need not get ready."""
        self.start(ready)
        try:
            yield self
        finally:
            self.__exit__()

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.stop()
        self._finish()

    @property
    def process(self) -> Forked | subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def start(self, ready: bool = True) -> None:
        environment = neutral(os.environ) | dict(self._environment)
        self.lines = []
        read, write = os.pipe()
        if self._module == HASTY:
            self._process = OPERATORS.start(f"{HASTY}:main", self._arguments, environment, stdout=write, stderr=write)
        else:
            command = [sys.executable, "-m", self._module, *self._arguments]
            self._process = subprocess.Popen(command, stdout=write, stderr=write, text=True, env=environment)
        os.close(write)
        self._output = os.fdopen(read)
        self._reader = threading.Thread(target=self._read, args=(self._output, self.lines), daemon=True)
        self._reader.start()
        if ready:
            self.wait_for("everything listed", 40)

    def _read(self, output: IO[str], lines: list[Json]) -> None:
        for line in output:
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"message": line.rstrip(), "level": "raw"})

    def logged(self, message: str) -> list[Json]:
        return [line for line in list(self.lines) if line["message"] == message]

    def wait_for(self, message: str, timeout_s: float = 20) -> Json:
        def found() -> Json | None:
            if self.process.poll() is not None:
                raise AssertionError(f"the operator ended with {self.process.returncode}: {self.lines[-5:]}")
            return next(iter(self.logged(message)), None)

        line: Json = eventually(found, f"the operator logs {message!r}", timeout_s)
        return line

    @property
    def metrics_port(self) -> int:
        return int(self.wait_for("operator started")["metrics_port"])

    @property
    def health_port(self) -> int:
        return int(self.wait_for("operator started")["health_port"])

    def metrics(self) -> str:
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def metric(self, name: str) -> float:
        """The value of one without labels."""
        line = next(each for each in self.metrics().splitlines() if each.startswith(f"{name} "))
        return float(line.split()[-1])

    def _finish(self) -> None:
        if self._reader and self._output:
            self._reader.join(5)
            self._output.close()
        for line in self.lines:
            if line["level"] != "raw":
                check_log_line(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._finish()

    def stop(self, timeout_s: float = 15) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        finally:
            if self.process.poll() is None:
                self.kill()
            self._finish()

    def memory_mib(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
