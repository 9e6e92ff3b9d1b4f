"""``init-sync serve`` as a process: its end, its log, its refusals, its metrics."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from init_sync.serve import metrics
from serve.conftest import LARGER, NESTED
from support.peer import SENT, peer_process, read_all
from support.three_models import LARGE
from support.waiting import eventually

WEIGHTS = b"GET /owner/nested/resolve/main/unet/weights.safetensors HTTP/1.1\r\nHost: x\r\n\r\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "init_sync", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_the_log_has_a_line_for_each_change_of_state_and_none_for_a_request(whole: Path) -> None:
    with peer_process(whole) as (served, process, log):
        assert served.ask("/owner/nested/resolve/main/config.json").status == 200
        (whole / "nested" / "config.json").write_text("changed")
        for _ in range(3):
            assert served.ask("/owner/nested/resolve/main/config.json").status == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    held = sum(len(data) for name, data in NESTED.items() if not name.startswith("notes/")) + 2 * len(LARGE) + 16
    assert re.sub(r"http\S+", "URL", log.read_text()).splitlines() == [
        f"serving volume={whole} url=URL",
        f"offering commits=5 held_bytes={held}",
        "warning: file is not what its receipt says, and is not served path=nested/config.json",
        "ended",
    ]


def test_a_log_of_json_is_json(whole: Path) -> None:
    with peer_process(whole, "--log-format", "json") as (_, _, log):
        lines = eventually(lambda: log.read_text().splitlines()[1:], "the second line")
    assert {"message": "offering", "commits": 5}.items() <= json.loads(lines[0]).items()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_leaves_idle_clients_at_once_and_what_is_sent_goes_on(number: signal.Signals, large: Path) -> None:
    with peer_process(large) as (served, process, log):
        with served.connect() as idle, served.connect(receive_bytes=256 << 10) as busy:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"ok" in idle.recv(1000)
            busy.sendall(b"GET /owner/large/resolve/main/large.safetensors HTTP/1.1\r\nHost: x\r\n\r\n")
            served.wait_until_blocked()
            process.send_signal(number)
            assert read_all(idle) == b""
            received = read_all(busy)
        assert process.wait(timeout=10) == 0
    assert received.endswith(LARGER)
    assert "were cut" not in log.read_text()


def test_a_client_that_does_not_read_holds_up_no_end(whole: Path) -> None:
    with peer_process(whole) as (served, process, log), served.connect(receive_bytes=64 << 10) as client:
        client.sendall(WEIGHTS * 100)
        assert client.recv(12) == b"HTTP/1.1 200"
        served.wait_until_blocked()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - began < 10
    assert "transfers were cut count=1" in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--volume", "{folder}/nothing"), "does not exist"),
        (("--volume", "{folder}", "--token-file", "{folder}/nothing"), "--token-file"),
        (("--volume", "{folder}", "--token-file", "{folder}/empty"), "must hold a token"),
        (("--volume", "{folder}", "--host", "192.0.2.1", "--port", "0"), "listening on 192.0.2.1"),
        (("--volume", "{folder}", "--host", "127.0.0.1", "--port", "{taken}"), "Choose another, or port 0"),
    ],
    ids=["no volume", "no token file", "an empty token file", "a foreign address", "a port that is taken"],
)
def test_what_cannot_be_served_is_exit_code_2_and_one_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(*(each.format(folder=tmp_path, taken=port) for each in arguments))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_an_empty_volume_is_alive_and_not_ready(volume: Path) -> None:
    with peer_process(volume) as (served, _, _):
        assert (served.ask("/healthz").status, served.ask("/readyz").status) == (200, 503)


def test_the_names_exported_are_the_names_documented(whole: Path) -> None:
    with peer_process(whole) as (served, _, _):
        served.ask("/owner/base/resolve/main/config.json")
        eventually(lambda: served.samples()[SENT] == len(b"{}\n"), "what was sent is counted, after it was sent")
        samples = served.samples()
    documented = set(re.findall(r"^ +(modelcache_\w+)", metrics.__doc__ or "", re.MULTILINE))
    assert {name for name, *_ in samples} == documented
    assert samples["modelcache_serve_commits",] == 5
