"""An API and a runner for pods that are short shell scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.bench import Bench
from support.kubeapi import LocalApi
from support.kubeapi.client import Client
from support.runner import Image, Pauses, Runner


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with LocalApi() as api:
        kubeconfig = api.kubeconfig(tmp_path)
        runner = Runner(
            kubeconfig,
            tmp_path / "node",
            {"shell": Image(("/bin/sh", "-c"))},
            {"nvidia.com/gpu": 1},
            Pauses(first_s=0.2),
            job_pause_s=0.2,
        )
        client = Client(kubeconfig)
        with runner:
            yield Bench(client, runner, tmp_path)
        client.close()
