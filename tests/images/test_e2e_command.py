"""`make e2e` before it has a cluster: with programs that are shell scripts, and pytest only collecting."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from images.dockerfiles import ROOT

IMAGES = ("init-sync", "operator", "inference", "e2e")
VERSION = (ROOT / "VERSION").read_text().strip()
SIZES = 'case "$*" in *du*) echo 204800 / ;; esac'


@dataclass(frozen=True, slots=True)
class Machine:
    """A PATH with nothing on it but what a test puts there, and the calls that were made."""

    folder: Path

    def program(self, name: str, script: str = "") -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.folder}/calls"\n{script}\n')
        path.chmod(0o755)

    def e2e(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "tests/e2e/run.py", "--collect-only", "-q", "-p", "no:cacheprovider"],
            env={"PATH": f"{self.folder}", "HELM": str(self.folder / "helm"), **environment},
            capture_output=True,
            text=True,
            timeout=50,
        )

    def calls(self, program: str) -> list[str]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(f"{program} ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.program("helm")
    made.program("kubectl", 'case "$*" in *current-context*) echo elsewhere ;; esac')
    made.program("docker", SIZES)
    return made


def test_without_a_cluster_it_is_skipped_with_a_word(machine: Machine) -> None:
    done = machine.e2e()
    assert done.returncode == 0
    assert done.stdout == "e2e: skipped: KUBECONFIG names no cluster, and kind was not found to make one\n"
    assert machine.calls("docker") == []


def test_a_cluster_that_does_not_answer_is_skipped_with_what_kubectl_said(machine: Machine) -> None:
    machine.program("kubectl", "echo connection refused >&2; exit 1")
    done = machine.e2e(KUBECONFIG="/nowhere")
    assert done.returncode == 0
    assert done.stdout.startswith("e2e: skipped: the cluster of KUBECONFIG=/nowhere does not answer: ")
    assert "connection refused" in done.stdout


def test_the_own_command_loads_every_image(machine: Machine) -> None:
    machine.program("load")
    done = machine.e2e(KUBECONFIG="/some", MODELCACHE_E2E_LOAD="load to-nodes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.calls("load") == [f"load to-nodes modelcache/{name}:{VERSION}" for name in IMAGES]
    assert "test_story.py" in done.stdout


def test_the_image_of_the_checks_is_built_on_the_one_of_inference(machine: Machine) -> None:
    machine.program("load")
    machine.e2e(KUBECONFIG="/some", MODELCACHE_E2E_LOAD="load")
    last = [call for call in machine.calls("docker") if "docker build" in call][-1]
    assert f"--build-arg INFERENCE=modelcache/inference:{VERSION} " in last


def test_given_images_are_neither_built_nor_loaded(machine: Machine) -> None:
    done = machine.e2e(KUBECONFIG="/some", MODELCACHE_E2E_IMAGES="registry.test/team/", TAG="x")
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.calls("docker") == []


def test_a_cluster_that_images_do_not_get_into_is_an_error_with_the_cure(machine: Machine) -> None:
    done = machine.e2e(KUBECONFIG="/some")
    assert done.returncode == 1
    assert "set MODELCACHE_E2E_LOAD or MODELCACHE_E2E_IMAGES" in done.stderr
    assert machine.calls("docker") == []


def test_a_kind_cluster_of_the_context_is_loaded_by_kind(machine: Machine) -> None:
    machine.program("kubectl", 'case "$*" in *current-context*) echo kind-mine ;; esac')
    machine.program("kind")
    assert machine.e2e(KUBECONFIG="/some").returncode == 0
    assert machine.calls("kind") == [
        f"kind load docker-image --name mine modelcache/{name}:{VERSION}" for name in IMAGES
    ]


def test_where_kind_is_a_cluster_is_made_and_removed_even_after_a_failure(machine: Machine) -> None:
    machine.program("kind", 'if [ "$1" = load ]; then exit 1; fi')
    done = machine.e2e()
    assert done.returncode != 0
    assert machine.calls("kind")[0] == "kind create cluster --name modelcache-e2e --wait 180s"
    assert machine.calls("kind")[-1] == "kind delete cluster --name modelcache-e2e"
