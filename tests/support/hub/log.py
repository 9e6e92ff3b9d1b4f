"""The record of requests: what a test asserts on.

A request is in the log from the moment its head was read, so one that hangs is seen too. ``bytes_sent`` grows as the
body is handed to the kernel, and is complete before the client can have read the last byte.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived and how it was answered; ``status`` 0 means no answer yet, or none at all."""

    origin: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    kind: str
    repo: str | None
    revision: str | None
    file: str | None
    started: float
    status: int = 0
    bytes_sent: int = 0


class LogEntry:
    """The growing record of a request in flight; written by its connection only."""

    __slots__ = ("_request", "body_bytes", "file_bytes", "status")

    def __init__(self, request: Request) -> None:
        self._request = request
        self.status = 0
        self.body_bytes = 0
        self.file_bytes = 0

    def snapshot(self) -> Request:
        return replace(self._request, status=self.status, bytes_sent=self.body_bytes)


class RequestLog:
    """All requests since the start or the last reset, in order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[LogEntry] = []

    def open(self, request: Request) -> LogEntry:
        entry = LogEntry(replace(request, started=time.monotonic()))
        with self._lock:
            self._entries.append(entry)
        return entry

    def requests(self) -> list[Request]:
        with self._lock:
            return [entry.snapshot() for entry in self._entries]

    def file_bytes(self) -> int:
        with self._lock:
            return sum(entry.file_bytes for entry in self._entries)

    def reset(self) -> None:
        with self._lock:
            self._entries.clear()
