"""What the operator says to mistakes in how it is started: a line each, with the flag and the cure."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from init_sync.shell.flags import WrongSettings
from modelcache_operator.app.settings import read_settings

KUBECONFIG = """
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: none}}]
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--metrics-port", "80.5"), "--metrics-port: '80.5' is not a whole number from 0 to 65535"),
        (("--health-port", "9", "--metrics-port", "9"), "--metrics-port and --health-port are both 9"),
        (("--sync-image", ""), "--sync-image: '' is not the name of an image"),
        (("--sync-image", "a b"), "--sync-image: 'a b' is not the name of an image"),
        (("--lease-name", "A b"), "--lease-name: 'A b' is not a name"),
        (("--identity", ""), "--identity: '' is not a name; a lease without one is held by nobody"),
    ],
)
def test_what_cannot_work_is_refused_by_the_name_of_its_flag(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(WrongSettings) as wrong:
        read_settings(("--namespace", "a", *arguments), {})
    assert words in str(wrong.value)


@pytest.mark.parametrize("flag", ["--metrics-port", "--health-port"])
def test_a_port_that_is_taken_is_said_in_a_line(flag: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--metrics-port": "0", "--health-port": "0", flag: port}
        done = _operator("--kubeconfig", str(kubeconfig), *(word for each in ports.items() for word in each))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"modelcache-operator: error: {flag}: listening on port {port}: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"root:x:0:0", b"", b"\xff", b"a: [", b"contexts: [1]\ncurrent-context: x"])
def test_a_file_that_is_no_kubeconfig_is_said_in_a_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    done = _operator("--kubeconfig", str(file))
    assert done.returncode == 2
    assert f"finding the cluster: {file} is no kubeconfig" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _operator(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelcache_operator", "--namespace", "a", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)
