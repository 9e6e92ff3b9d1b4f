"""Tests do not depend on the shell that calls them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.surroundings import CLUSTER, become_neutral, neutral, open_to_all

LEAKS = {
    "HF_TOKEN": "hf_mine",
    "HF_HUB_OFFLINE": "1",
    "https_proxy": "http://127.0.0.1:9",
    "MODELCACHE_LOG_FORMAT": "text",
    "MULTITALK_QUEUE": "99",
    "HELM_NAMESPACE": "mine",
    "KUBECONFIG": "/nowhere",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "POD_NAME": "mine",
    "FORCE_COLOR": "1",
}
STAYS = {
    "PATH": "/bin",
    "TMPDIR": "/tmp",
    "SSL_CERT_FILE": "/ca",
    "HELM": "/bin/helm",
    "KUBEBUILDER_ASSETS": "/bin",
    "MODELCACHE_TEST_API": "local",
    "MULTITALK_GOLDEN": "/golden",
    "INFINITETALK_GOLDEN": "/golden",
}


def test_what_steers_programs_is_left_out_and_what_chooses_tests_stays() -> None:
    assert neutral({**LEAKS, **STAYS}) == STAYS


def test_on_a_cluster_the_shell_knows_the_way() -> None:
    found = {**LEAKS, CLUSTER: "1.0"}
    become_neutral(found)
    assert found == {**LEAKS, CLUSTER: "1.0"}


def test_nothing_of_the_shell_is_seen_here() -> None:
    assert not LEAKS.keys() & os.environ.keys()


def test_nothing_of_a_shell_that_names_everything_is_seen_by_a_test() -> None:
    this = f"{__file__}::{test_nothing_of_the_shell_is_seen_here.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", this]
    done = subprocess.run(command, env={**os.environ, **LEAKS}, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout


def test_a_folder_that_others_may_not_enter_is_not_taken_for_files_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    inner = tmp_path / "open"
    inner.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(inner))
    assert open_to_all() != inner
