"""The metrics port of a running sync: figures for Prometheus, the report for the operator, and nothing that harms."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from init_sync.app import metrics
from support.hub import Fault, LocalHub
from support.schemas import check_report
from support.sync import run_sync, start_sync
from support.waiting import eventually

HELD_UP = Fault("stall", match=("blob",), repo="owner/base", after_bytes=300_000)
ARRIVED = 256 * 1024
"""What a sync has counted by then: it reads a connection in units of this size."""

PATIENT = ("--stall-timeout", "60", "--give-up-after", "120", "--connections", "4")


@dataclass(frozen=True, slots=True)
class Running:
    """A sync that is held up by its hub."""

    process: subprocess.Popen[str]
    port: int
    stderr: Path

    def get(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def status(self) -> Any:
        return json.loads(self.get("/status")[2])

    def samples(self) -> dict[tuple[str, str], float]:
        """Values by name and by the label that tells them apart."""
        return {
            (sample.name, sample.labels.get("model") or sample.labels.get("reason") or ""): sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[2])
            for sample in family.samples
        }

    def send(self, data: bytes, *, reset: bool = False) -> bytes:
        """Raw bytes to the port, and what came back; ``reset`` leaves without reading."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while more := connection.recv(65536):
                received += more
            return received


@pytest.fixture
def start(spec: dict[str, Any], volume: Path, hub: LocalHub, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts the sync; to be called when the hub's faults are set."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> Running:
        stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
        with stdout.open("w") as out, stderr.open("w") as errors:
            process = start_sync(
                spec, volume, hub, "--metrics-port", "0", *PATIENT, *arguments, stdout=out, stderr=errors
            )
        started.append(process)
        said = re.compile(r"http://localhost:(\d+)/status")
        match = eventually(lambda: said.search(stdout.read_text()), "the line that names the port")
        return Running(process, int(match[1]), stderr)

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def running(start: Callable[[], Running], hub: LocalHub) -> Running:
    """Two models are complete, of the third a part of a file has come, and no more will."""
    hub.add_fault(HELD_UP)
    running = start()
    eventually(lambda: running.status()["models"][0]["bytesPresent"] >= ARRIVED, "the first bytes")
    eventually(lambda: [each["complete"] for each in running.status()["models"]][1:] == [True, True], "other models")
    return running


class TestOfARunningSync:
    def test_status_is_the_report(self, running: Running) -> None:
        code, content_type, body = running.get("/status")
        assert (code, content_type) == (200, "application/json")
        report = json.loads(body)
        check_report(report)
        base, wav2vec, multitalk = report["models"]
        assert not report["complete"]
        assert (wav2vec["complete"], multitalk["complete"]) == (True, True)
        assert base["bytesTotal"] == (1 << 20) + 3 + 2
        assert ARRIVED <= base["bytesPresent"] < base["bytesTotal"]
        assert base["reason"], "a model that is not complete says why"
        assert report["bytesFetched"] >= ARRIVED + (1 << 20)

    def test_a_query_does_not_matter(self, running: Running) -> None:
        assert running.get("/status?pretty=1")[0] == 200

    def test_metrics_are_what_the_report_says(self, running: Running) -> None:
        samples, report = running.samples(), running.status()
        for each in report["models"]:
            for name, field in (("size_bytes", "bytesTotal"), ("present_bytes", "bytesPresent")):
                assert samples[f"modelcache_sync_{name}", each["name"]] == each[field]
            assert samples["modelcache_sync_files", each["name"]] == each["filesTotal"]
            assert samples["modelcache_sync_present_files", each["name"]] == each["filesPresent"]
            assert samples["modelcache_sync_complete", each["name"]] == each["complete"]
        assert samples["modelcache_sync_fetched_bytes_total", ""] == report["bytesFetched"]
        assert samples["modelcache_sync_verified_bytes_total", ""] == report["bytesVerified"]

    def test_every_family_has_a_help_text_and_the_cache_as_label(self, running: Running) -> None:
        families = list(text_string_to_metric_families(running.get("/metrics")[2]))
        assert families
        for family in families:
            assert family.documentation.endswith(".")
            assert all(sample.labels["cache"] == "cache" for sample in family.samples)

    def test_health_is_ok_and_other_paths_are_not_found(self, running: Running) -> None:
        assert running.get("/healthz")[::2] == (200, "ok\n")
        for path in ("/", "/metric", "/status/", "/../etc/passwd", "/%2e%2e"):
            assert running.get(path)[0] == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_nothing_can_be_changed(self, method: str, running: Running) -> None:
        answer = running.send(f"{method} /status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert re.match(rb"HTTP/1\.[01] (405|501) ", answer)

    def test_a_terminated_sync_leaves_the_port_and_its_report(self, running: Running) -> None:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=10) == 1
        assert len(running.stderr.read_text().splitlines()) == 1


GARBAGE = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "half a request": b"GET /status HTTP/1.1\r\nHost:",
    "a request of 2 MB": b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\n\r\n",
    "ten thousand headers": b"GET /status HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "a version from nowhere": b"GET /status HTTP/9.9\r\n\r\n",
    "NULs": b"\0" * 4000,
}


def test_garbage_neither_ends_the_sync_nor_reaches_its_output(running: Running, hub: LocalHub) -> None:
    for data in GARBAGE.values():
        for reset in (False, True):
            try:
                running.send(data, reset=reset)
            except OSError:
                continue  # the server may well hang up on it
    for _ in range(20):
        running.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", reset=True)
    assert running.get("/healthz")[0] == 200
    assert running.process.poll() is None
    assert running.stderr.read_text() == ""


def test_silent_clients_do_not_keep_others_waiting(running: Running) -> None:
    at_once_s = 0.9  # a connection that the kernel has to ask for again takes a second and more
    silent = [socket.create_connection(("127.0.0.1", running.port), timeout=at_once_s) for _ in range(50)]
    try:
        assert running.get("/healthz")[0] == 200
    finally:
        for connection in silent:
            connection.close()


def test_clients_that_never_finish_a_request_make_room_for_others(running: Running) -> None:
    dripping = [socket.create_connection(("127.0.0.1", running.port), timeout=5) for _ in range(200)]
    try:
        for connection in dripping:
            connection.sendall(b"GET /status HTTP/1.1\r\nX: ")
        for connection in dripping[: -metrics.MAX_CONNECTIONS]:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b"", "it was ended"
        assert running.get("/status")[0] == 200
    finally:
        for connection in dripping:
            connection.close()


@pytest.mark.parametrize(
    ("status", "match", "reason"),
    [
        (503, ("resolve",), "HubUnreachable"),
        (429, ("resolve",), "RateLimited"),
        (503, ("model_info",), "HubUnreachable"),
    ],
    ids=["files, 503", "files, 429", "listings, 503"],
)
def test_errors_of_the_hub_are_counted_by_reason(
    status: int, match: tuple[str, ...], reason: str, start: Callable[[], Running], hub: LocalHub
) -> None:
    hub.add_fault(HELD_UP)
    hub.add_fault(Fault("status", match=match, status=status, repo="owner/base", times=2))
    running = start()
    name = "modelcache_sync_hub_errors_total"
    eventually(lambda: running.samples().get((name, reason), 0) >= 2, "two errors in the counter")
    assert running.samples()[name, reason] == 2


def test_the_names_exported_are_the_names_documented(start: Callable[..., Running], hub: LocalHub) -> None:
    hub.add_fault(HELD_UP)
    hub.add_fault(Fault("status", match=("model_info",), status=503, times=1))
    running = start("--peer", "http://127.0.0.1:9")
    eventually(lambda: ("modelcache_sync_complete", "base") in running.samples(), "metrics")
    eventually(lambda: any("hub_errors" in name for name, _ in running.samples()), "an error in the counter")
    eventually(lambda: any("left_out" in name for name, _ in running.samples()), "a peer in the counter")
    documented = set(re.findall(r"^ +(modelcache_\w+)\{", metrics.__doc__ or "", re.MULTILINE))
    assert {name for name, _ in running.samples()} == documented


def test_a_port_that_is_taken_costs_the_figures_and_not_the_sync(
    spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_sync(spec, volume, hub, "--metrics-port", str(port))
    assert (done.returncode, done.stderr) == (0, "")
    (warning,) = [line for line in done.lines if line.startswith("warning: ")]
    assert f"without metrics: listening on port {port}: " in warning


def test_a_named_port_is_the_one_that_serves(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    done = run_sync(spec, volume, hub, "--metrics-port", str(port))
    assert done.returncode == 0
    assert any(f"http://localhost:{port}/status" in line for line in done.lines)


def test_nothing_to_do_opens_no_port(spec: dict[str, Any], whole: Path) -> None:
    done = run_sync(spec, whole, None, "--metrics-port", "0")
    assert done.returncode == 0
    assert not any("/status" in line for line in done.lines)
