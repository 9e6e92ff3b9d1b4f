"""A server in front of the local hub that passes its answers on, some of them changed byte by byte.

    with LocalHub(root) as hub, LyingHub(hub) as liar:
        liar.lie = lambda kind, said: replace(said, head=said.head.replace(b"200", b"999"))

``lie`` is asked for each answer, with the kind of the request (hub/routes.py) and the whole answer, and returns what is
sent instead; None passes all on as it is. Redirects to the hub's second origin are turned to the liar itself, so that
it sees the bytes of large files too. One request for each connection.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from support.hub import LocalHub
from support.hub.messages import Incoming, read_request
from support.hub.routes import api_route, cdn_route, split_target
from support.listener import Listener

HOP_BY_HOP = ("connection", "content-length", "transfer-encoding")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer in the two parts that go onto the wire."""

    head: bytes
    """Status line and headers, with the empty line at the end; Content-Length is that of the true body."""
    body: bytes


Lie = Callable[[str, Said], Said]


class LyingHub(Listener):
    """Listens on a free loopback port until the block is left."""

    def __init__(self, hub: LocalHub | str) -> None:
        """``hub`` may be the address of a server with one origin, such as a peer's."""
        super().__init__(self._answer)
        self._api, self._cdn = (hub, hub) if isinstance(hub, str) else (hub.endpoint, hub.cdn_endpoint)
        self.lie: Lie | None = None
        self.heard: Callable[[dict[str, str]], None] = lambda _: None
        """Gets the headers of each request."""

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def _answer(self, client: socket.socket, _number: int) -> None:
        with client.makefile("rb") as stream:
            incoming = read_request(stream)
        if incoming is None:
            return
        self.heard(incoming.headers)
        path, _ = split_target(incoming.target)
        large = path.startswith("/blobs/")
        said = self._ask(incoming, self._cdn if large else self._api)
        if self.lie:
            said = self.lie((cdn_route if large else api_route)(path).kind, said)
        client.sendall(said.head + said.body)

    def _ask(self, incoming: Incoming, endpoint: str) -> Said:
        connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)
        try:
            headers = {name: value for name, value in incoming.headers.items() if name not in ("host", "connection")}
            connection.request(incoming.method, incoming.target, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            fields = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        finally:
            connection.close()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{name}: {value}".replace(self._cdn, self.endpoint) for name, value in fields]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        return Said("\r\n".join(lines).encode("latin-1"), body)


def relisted(said: Said, change: Callable[[list[Any]], list[Any]]) -> Said:
    """Another page of a listing than the one that was said."""
    body = json.dumps(change(json.loads(said.body))).encode()
    before, after = (f"Content-Length: {len(data)}\r\n".encode() for data in (said.body, body))
    return Said(said.head.replace(before, after), body)
