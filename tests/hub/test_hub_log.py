"""What the hub remembers of its requests, and its life between start and stop."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.hub import Fault, LocalHub
from support.raw_client import ask, ask_on, connect

from .sample import CONFIG, REPO, WEIGHTS


def test_every_request_is_recorded_with_its_kind_and_outcome(hub: LocalHub, blob_url: Callable[[], str]) -> None:
    ask(f"{hub.endpoint}/api/models/{REPO}/revision/refs%2Fpr%2F1?blobs=True", headers={"X-Trace": "7"})
    ask(blob_url(), headers={"Range": "bytes=10-19"})
    info, resolve, blob = hub.requests
    assert (info.origin, info.kind, info.status, info.revision) == ("api", "model_info", 404, "refs/pr/1")
    assert (info.path, info.query) == (f"/api/models/{REPO}/revision/refs%2Fpr%2F1", "blobs=True")
    assert info.headers["x-trace"] == "7"
    assert (resolve.method, resolve.kind, resolve.status, resolve.file) == (
        "HEAD",
        "resolve",
        302,
        "weights.safetensors",
    )
    assert (blob.origin, blob.kind, blob.repo, blob.file) == ("cdn", "blob", REPO, "weights.safetensors")
    assert (blob.status, blob.bytes_sent) == (206, 10)
    assert info.started <= resolve.started <= blob.started


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"/api/models/{REPO}", "model_info"),
        (f"/api/models/{REPO}/tree/main", "tree"),
        (f"/{REPO}/resolve/main/config.json", "resolve"),
        ("/anything/else", "other"),
    ],
)
def test_requests_are_counted_by_kind(hub: LocalHub, path: str, kind: str) -> None:
    ask(hub.endpoint + path)
    assert (hub.count(kind), hub.count()) == (1, 1)


def test_only_contents_of_files_count_as_bytes_sent(hub: LocalHub, blob_url: Callable[[], str]) -> None:
    ask(f"{hub.endpoint}/api/models/{REPO}")
    ask(f"{hub.endpoint}/{REPO}/resolve/main/nowhere")
    url = blob_url()
    assert hub.bytes_sent == 0
    ask(url)
    ask(f"{hub.endpoint}/{REPO}/resolve/main/config.json")
    assert hub.bytes_sent == len(WEIGHTS) + len(CONFIG)
    hub.reset_log()
    assert (hub.bytes_sent, hub.requests) == (0, [])


def test_a_connection_serves_many_requests(hub: LocalHub) -> None:
    url = f"{hub.endpoint}/{REPO}/resolve/main/config.json"
    connection = connect(url)
    assert ask_on(connection, url).body == CONFIG
    port = connection.sock.getsockname()
    for _ in range(3):
        assert ask_on(connection, url, "HEAD").body == b""
        assert ask_on(connection, url).body == CONFIG
    assert connection.sock.getsockname() == port
    connection.close()


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"])
def test_a_client_that_wants_no_second_request_is_not_kept_waiting(hub: LocalHub, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(hub.endpoint).port or 0), timeout=10) as sock:
        sock.sendall(head)
        with sock.makefile("rb") as stream:
            assert b"\r\nConnection: close\r\n" in stream.read()


@pytest.mark.parametrize(
    "head",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"],
)
def test_what_is_no_http_is_answered_400(hub: LocalHub, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(hub.endpoint).port or 0), timeout=10) as sock:
        sock.sendall(head)
        assert sock.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")


def test_a_stopped_hub_refuses_and_a_started_one_keeps_its_ports(hub: LocalHub, blob_url: Callable[[], str]) -> None:
    url, endpoint = blob_url(), hub.endpoint
    hub.stop()
    for address in (endpoint, url):
        with pytest.raises(ConnectionRefusedError):
            ask(address)
    hub.start()
    assert ask(url).body == WEIGHTS
    assert hub.endpoint == endpoint


def test_nobody_takes_the_ports_of_a_stopped_hub(root: Path, hub: LocalHub) -> None:
    hub.stop()
    port = urlsplit(hub.endpoint).port or 0
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_a_stop_ends_connections_that_wait(hub: LocalHub) -> None:
    url = f"{hub.endpoint}/{REPO}/resolve/main/config.json"
    connection = connect(url)
    ask_on(connection, url)
    hub.stop()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask_on(connection, url)
    connection.close()


def test_faults_and_log_survive_a_stop(hub: LocalHub) -> None:
    hub.add_fault(Fault("status", status=503))
    ask(f"{hub.endpoint}/api/models/{REPO}")
    hub.stop()
    hub.start()
    assert ask(f"{hub.endpoint}/api/models/{REPO}").status == 503
    assert hub.count("model_info") == 2
