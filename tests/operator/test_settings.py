"""How the operator is started, and what it says to mistakes: a line each, with the flag and the cure."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from init_sync.shell.flags import WrongSettings
from modelcache_operator.app.settings import Settings, read_settings
from support.operator_process import OPERATORS

KUBECONFIG = """
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: none}}]
"""


def _settings(*arguments: str, **environment: str) -> Settings:
    return read_settings(arguments, environment)


def test_flags_win_over_the_environment_and_that_over_defaults() -> None:
    found = _settings("--namespace", "a", "--sync-image", "x", MODELCACHE_SYNC_IMAGE="y", MODELCACHE_LEASE_NAME="z")
    assert (found.sync_image, found.lease_name, found.health_port) == ("x", "z", 8081)
    assert (found.namespace, found.lease_namespace) == (("a",), "a")


def test_claims_are_looked_at_every_10_seconds_until_bound_and_with_everything_else_every_2_minutes() -> None:
    found = _settings("--namespace", "a")
    assert (found.claim_check_seconds, found.full_list_seconds) == (10, 120)


def test_several_namespaces_may_come_from_the_environment() -> None:
    assert _settings(MODELCACHE_NAMESPACE="a, b").namespace == ("a", "b")
    assert _settings(MODELCACHE_ALL_NAMESPACES="true").namespace == ()


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(WrongSettings) as wrong:
        _settings("--metrics-port", "x", "--log-format", "xml", "--lease-seconds", "1")
    assert len(wrong.value.problems) == 4


def test_wrong_usage_ends_with_2_and_a_line_for_each_mistake() -> None:
    command = [sys.executable, "-m", "modelcache_operator", "--log-level", "loud"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2


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
    return OPERATORS.run("modelcache_operator.__main__:main", ["--namespace", "a", *arguments], os.environ)
