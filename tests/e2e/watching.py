"""Every state of objects that the API has shown, from the beginning of a watch on."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from e2e.kube import Json, program


@dataclass(slots=True)
class Watch:
    """``with Watch("/api/v1/namespaces/x/pods") as pods: ...`` then ``pods.seen()``."""

    path: str
    _states: list[Json] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        kubectl = program("kubectl")
        assert kubectl is not None
        command = [kubectl, "get", "--raw", f"{self.path}?watch=true&timeoutSeconds=3600"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def seen(self) -> list[Json]:
        """All states so far, in order; fails when the watch has ended, for something may have been missed."""
        assert self._process is not None
        assert self._process.poll() is None, f"the watch of {self.path} has ended"
        with self._lock:
            return list(self._states)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED"):
                with self._lock:
                    self._states.append(event["object"])
