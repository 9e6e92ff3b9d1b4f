"""``init-sync serve`` to talk to: in this process, where a test may change its limits, or as a process of its own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from init_sync.serve.metrics import Metrics
from init_sync.serve.server import Server
from init_sync.serve.service import Service
from init_sync.serve.store import Store
from init_sync.serve.token import Token
from init_sync.shell.listen import listen
from init_sync.volume.volume import Volume
from support.raw_client import Got, Headers, ask
from support.sync import environment
from support.waiting import eventually

SENT = ("modelcache_serve_sent_bytes_total",)
LISTENS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Peer:
    """A server on a port of loopback."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, headers: Headers | None = None) -> Got:
        return ask(self.endpoint + path, method, body, headers)

    def connect(self, receive_bytes: int = 0) -> socket.socket:
        """A plain connection; ``receive_bytes`` keeps the kernel from taking more for a client that does not read."""
        client = socket.socket()
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(20)
        client.connect(("127.0.0.1", self.port))
        return client

    def exchange(self, data: bytes) -> bytes:
        """Send it, say that no more comes, and read to the end."""
        with self.connect() as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def wait_until_blocked(self) -> None:
        """Until no more bytes of files go out, because a client does not read."""
        seen: list[float] = []

        def is_still() -> bool:
            seen.append(self.samples()[SENT])
            return len(seen) > 20 and len({*seen[-20:]}) == 1

        eventually(is_still, "the kernel takes no more")

    def samples(self) -> dict[tuple[str, ...], float]:
        """Values by name and labels, less what the client library adds."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(self.ask("/metrics").body.decode())
            for sample in family.samples
            if not sample.name.endswith("_created")
        }


def read_all(client: socket.socket) -> bytes:
    """Until the other side closes; a reset counts as an end."""
    received = b""
    try:
        while more := client.recv(1 << 20):
            received += more
    except ConnectionResetError:
        pass
    return received


@contextmanager
def peer(volume: Path, token: Path | None = None) -> Iterator[Peer]:
    metrics = Metrics()
    service = Service(Store(Volume(str(volume))), Token(str(token)) if token else None, metrics)
    listener = listen(0, "127.0.0.1")
    server = Server(listener, service, metrics)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Peer(listener.getsockname()[1])
    finally:
        server.stop()
        thread.join()
        server.close()


@contextmanager
def peer_process(volume: Path, *arguments: str) -> Iterator[tuple[Peer, subprocess.Popen[str], Path]]:
    """The peer, its process, and the file with its log."""
    output = volume.parent / f"{volume.name}.serve.log"
    line = [sys.executable, "-m", "init_sync", "serve", "--volume", str(volume), "--host", "127.0.0.1", "--port", "0"]
    with output.open("w") as out:
        process = subprocess.Popen(
            [*line, *arguments], env=environment(None), stdout=out, stderr=subprocess.STDOUT, text=True
        )
    try:
        found = eventually(lambda: LISTENS.search(output.read_text()), "the line that names the port")
        yield Peer(int(found[1])), process, output
    finally:
        process.kill()
        process.wait()
