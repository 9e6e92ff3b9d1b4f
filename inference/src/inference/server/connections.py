"""A connection as uvicorn handles it, with a time limit for heads and for reading, and a number of connections.

uvicorn closes a connection that stays idle after a response. Nothing bounds how long a client may take for its first
request or in the middle of a head, nor how slowly it reads a response, so connections that do nothing would pile up
until the process has no descriptors left. Bodies have a time limit of their own (`multipart`).
"""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from inference.server.errors import invalid

HEAD_S = 10.0
"""From the connection, or from the first byte after a response, until a head is complete."""
READ_S = 60.0
"""Within this time, a client must read some of a pending response."""
MOST_CONNECTIONS = 512
"""At once: half of the usual limit on open files."""


class BoundedConnection(H11Protocol):
    """Closed when its client is late. Beyond the number, the one that has waited longest for its client is closed."""

    _head_late: asyncio.TimerHandle | None = None
    _read_late: asyncio.TimerHandle | None = None
    _waits_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        self._head_late = self.loop.call_later(HEAD_S, transport.abort)
        if len(self.connections) > MOST_CONNECTIONS:
            late = self._longest_waiting()
            self.connections.discard(late)  # now: many more may be accepted before the loop comes to end this one
            late.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._responding:
            self._stop_timers(head=True)
        elif self._head_late is None:
            self._head_late = self.loop.call_later(HEAD_S, self.transport.abort)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - h11's words name no cure
        """A head or a body that is no HTTP; in the form of all errors, where uvicorn sends plain text."""
        error = invalid(None, "malformed_request", "The request is not valid HTTP/1.1.")
        headers = [("content-type", "application/json"), ("connection", "close")]
        body = json.dumps(error.body()).encode()
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        self._waits_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._waits_since = self.loop.time()
        self._read_late = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timers(read=True)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timers(head=True, read=True)

    @property
    def _responding(self) -> bool:
        """A request has arrived, and its response is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def _longest_waiting(self) -> BoundedConnection:
        mine = [each for each in self.connections if isinstance(each, BoundedConnection)]
        waiting = [each for each in mine if each._read_late or not each._responding]
        return min(waiting, key=lambda each: each._waits_since)

    def _stop_timers(self, *, head: bool = False, read: bool = False) -> None:
        if head and self._head_late:
            self._head_late.cancel()
            self._head_late = None
        if read and self._read_late:
            self._read_late.cancel()
            self._read_late = None
