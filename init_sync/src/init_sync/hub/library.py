"""huggingface_hub's HTTP client, sent through our own connections, so that there is one way out.

The library asks ``httpx2`` to send a request; here it is sent by ``Connections``. Proxies, certificates, redirects and
what an unreachable server is called are thus the same for a listing and for a file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import httpx2

from init_sync.core.reasons import Reason
from init_sync.hub.redirects import follow
from init_sync.hub.response import ConnectionBroken, Response
from init_sync.hub.retry import Transient
from init_sync.hub.transport import Connections
from init_sync.hub.watchdog import Watchdog

PIECE_BYTES = 64 * 1024
SENT_BY_US = ("connection", "content-length", "host", "transfer-encoding")
OWN = ("authorization", "cookie")
"""What a redirect to another server must not take along."""


def client(timeout_s: float, *, direct: bool = False) -> httpx2.Client:
    """Waits no longer than ``timeout_s`` for any sign of the server. ``direct``: by no proxy and along no redirect."""
    return httpx2.Client(transport=OneWayOut(timeout_s, direct), trust_env=False, timeout=timeout_s)


class OneWayOut(httpx2.BaseTransport):
    """Sends what ``httpx2`` wants sent. A GET comes back with its redirects followed."""

    def __init__(self, timeout_s: float, direct: bool) -> None:
        self._timeout_s = timeout_s
        self._direct = direct
        self._watchdog = Watchdog()
        self._idle: list[Connections] = []
        self._guard = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        # A call that was given up may still use its connections, so those are never shared.
        connections = self._take()
        try:
            response = self._send(connections, request)
        except BaseException:
            connections.close()
            raise
        stream = _Body(response, lambda: self._give_back(connections))
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
        return httpx2.Response(response.status, headers=fields, stream=stream)

    def _send(self, connections: Connections, request: httpx2.Request) -> Response:
        url = str(request.url.copy_with(fragment=None))
        headers = {name: value for name, value in request.headers.items() if name not in SENT_BY_US}
        if request.method != "GET":
            return connections.send(request.method, url, headers, request.read() or None, direct=self._direct)
        own = {name: headers.pop(name) for name in OWN if name in headers}
        return follow(connections, url, own, headers, "asking the hub", direct=self._direct)[1]

    def close(self) -> None:
        while self._idle:
            self._take().close()
        self._watchdog.close()

    def _take(self) -> Connections:
        with self._guard:
            return self._idle.pop() if self._idle else Connections(self._timeout_s, self._watchdog)

    def _give_back(self, connections: Connections) -> None:
        with self._guard:
            if not self._idle:
                self._idle.append(connections)
                return
        connections.close()


class _Body(httpx2.SyncByteStream):
    """The body of a response; its connection can be used again when it was read to the end."""

    def __init__(self, response: Response, on_end: Callable[[], None]) -> None:
        self._response = response
        self._on_end = on_end

    def __iter__(self) -> Iterator[bytes]:
        buffer = memoryview(bytearray(PIECE_BYTES))
        count = len(buffer)
        while count == len(buffer):
            try:
                count = self._response.read_into(buffer)
            except ConnectionBroken as error:
                raise error.cause from error
            yield bytes(buffer[:count])
        if self._response.length:
            raise Transient(Reason.HUB_UNREACHABLE, "the connection ended early")

    def close(self) -> None:
        self._response.done()
        self._on_end()
