"""``python -m support.hub``: the hub as a process, and its control endpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import support
from support.hub import LocalHub, RepoBuilder
from support.raw_client import ask, signed_url

from .sample import CONFIG, REPO

Process = subprocess.Popen[str]
Launch = Callable[..., tuple[Process, str]]


@pytest.fixture
def launch(root: Path) -> Iterator[Launch]:
    """Start the process and wait for the endpoint on its first line."""
    started: list[Process] = []

    def run(*arguments: str) -> tuple[Process, str]:
        command = [sys.executable, "-m", "support.hub", "--root", str(root), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path(support.__file__ or "").parents[1])}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("endpoint: http://"), first
        return process, first.removeprefix("endpoint: ").strip()

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_serves_until_it_is_told_to_end(launch: Launch, repo: RepoBuilder, number: signal.Signals) -> None:
    process, endpoint = launch()
    assert ask(f"{endpoint}/{REPO}/resolve/main/config.json").body == CONFIG
    process.send_signal(number)
    assert process.wait(10) == 0


def test_ports_and_rate_are_options(launch: Launch, repo: RepoBuilder) -> None:
    with LocalHub(Path(repo.folder)) as other:  # two ports that were free a moment ago
        ports = [url.rpartition(":")[2] for url in (other.endpoint, other.cdn_endpoint)]
    _, endpoint = launch("--port", ports[0], "--cdn-port", ports[1], "--rate-per-connection", "1000000")
    assert endpoint.endswith(f":{ports[0]}")
    assert f":{ports[1]}/" in signed_url(endpoint, REPO, "weights.safetensors")


def test_it_may_listen_elsewhere_and_be_called_by_a_name(launch: Launch, repo: RepoBuilder) -> None:
    _, endpoint = launch("--host", "127.0.0.2", "--name", "localhost")
    port = endpoint.removeprefix("http://localhost:")
    signed = signed_url(f"http://127.0.0.2:{port}", REPO, "weights.safetensors")
    assert signed.startswith("http://localhost:")
    assert ask(signed.replace("localhost", "127.0.0.2")).status == 200


def test_faults_and_log_are_reached_over_http(launch: Launch, repo: RepoBuilder) -> None:
    _, endpoint = launch("--control")
    fault = {"kind": "status", "status": 503, "match": ["model_info"], "times": 2}
    assert ask(f"{endpoint}/_control/faults", "POST", json.dumps([fault]).encode()).json() == {"added": 1}
    assert ask(f"{endpoint}/api/models/{REPO}").status == 503
    assert ask(f"{endpoint}/_control/faults", "DELETE").status == 200
    assert ask(f"{endpoint}/api/models/{REPO}").status == 200
    log = ask(f"{endpoint}/_control/log").json()
    assert [(one["kind"], one["status"]) for one in log["requests"]] == [("model_info", 503), ("model_info", 200)]
    assert (log["bytes_sent"], log["leaked_authorization"]) == (0, False)
    ask(f"{endpoint}/_control/log", "DELETE")
    assert ask(f"{endpoint}/_control/log").json()["requests"] == []


@pytest.mark.parametrize(
    "body", [b"{", b"{}", b"[1]", b'[{"kind": "explode"}]', b'[{"kind": "status", "typo": 1}]', b"7"]
)
def test_a_fault_that_cannot_be_read_is_refused(root: Path, body: bytes) -> None:
    with LocalHub(root, control=True) as hub:
        got = ask(f"{hub.endpoint}/_control/faults", "POST", body)
        assert got.status == 400
        assert "reading faults" in got.json()["error"]


def test_control_is_closed_unless_asked_for(hub: LocalHub) -> None:
    assert ask(f"{hub.endpoint}/_control/log").status == 404
