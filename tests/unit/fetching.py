"""A file on the hub, and its bytes by way of a source."""

from __future__ import annotations

from init_sync.hub.source import Source
from init_sync.hub.transport import Connections, Response

DATA = bytes(range(256)) * 4096
SIZE = len(DATA)
TOKEN = {"authorization": "Bearer hf_x", "user-agent": "init-sync"}


def read(found: Response, count: int) -> bytes:
    buffer = bytearray(count)
    assert found.read_into(memoryview(buffer)) == count
    found.done()
    return bytes(buffer)


def fetch(source: Source, connections: Connections, start: int, end: int) -> bytes:
    return read(source.open(connections, start, end), end - start)
