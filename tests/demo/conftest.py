"""An API and a runner for pods that are short shell scripts; a real API server too, where there is one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.bench import Bench
from support.kubeapi import LocalApi, RealApi, assets
from support.kubeapi.client import Client
from support.runner import Image, Pauses, Runner

APIS = ["local", *(["real"] if assets() else [])]


@pytest.fixture(scope="session", params=APIS)
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("api")
    programs = assets()
    if request.param == "local":
        with LocalApi() as api:
            yield api.kubeconfig(folder)
    elif programs:
        with RealApi(programs, folder) as real:
            yield real.kubeconfig()


@pytest.fixture
def bench(request: pytest.FixtureRequest, kubeconfig: Path, tmp_path: Path) -> Iterator[Bench]:
    """In a namespace of its own; the runner serves all, but there are no pods in the others any more."""
    client, namespace = Client(kubeconfig), f"t-{uuid.uuid4().hex[:8]}"
    client.create("namespaces", {"metadata": {"name": namespace}}, "")
    images = {"shell": Image(("/bin/sh", "-c"))}
    with Runner(
        kubeconfig, tmp_path / "node", images, {"nvidia.com/gpu": 1}, Pauses(first_s=0.2), job_pause_s=0.2
    ) as runner:
        yield Bench(client, runner, tmp_path, namespace, "[real]" not in request.node.name)
        for resource in ("deployments", "jobs", "pods", "services"):
            for each in client.list(resource, namespace):
                client.delete(resource, each["metadata"]["name"], namespace)
    client.close()
