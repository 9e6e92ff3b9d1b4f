"""An API and a runner for pods that are short shell scripts; a real API server too, where there is one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.bench import Bench
from support.kubeapi import LocalApi, RealApi, assets
from support.kubeapi.client import Client
from support.runner import Image, Runner

APIS = ["local", *(["real"] if assets() else [])]


@dataclass(frozen=True, slots=True)
class Api:
    """A running one."""

    kubeconfig: Path
    local: LocalApi | None


@pytest.fixture(scope="session", params=APIS)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    programs = assets()
    if request.param == "local":
        with LocalApi() as local:
            yield Api(local.kubeconfig(folder), local)
    elif programs:
        with RealApi(programs, folder) as real:
            yield Api(real.kubeconfig(), None)


@pytest.fixture
def bench(api: Api, tmp_path: Path) -> Iterator[Bench]:
    """In a namespace of its own."""
    client, namespace = Client(api.kubeconfig), f"t-{uuid.uuid4().hex[:8]}"
    client.create("namespaces", {"metadata": {"name": namespace}}, "")
    images = {"shell": Image(("/bin/sh", "-c"))}
    node = tmp_path / "node"
    with Runner(api.kubeconfig, node, images, {"nvidia.com/gpu": 1}, pause_s=0.2, namespace=namespace) as runner:
        if api.local:
            api.local.logs = runner.log
        yield Bench(client, runner, tmp_path, namespace, api.local is not None)
    client.close()
