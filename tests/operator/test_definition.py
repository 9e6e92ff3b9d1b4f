"""The custom resource definition goes while the operator runs. A cluster of its own: no other test could do without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster import CRD
from support.kubeapi import LocalApi, RealApi, assets
from support.kubeapi.client import Client
from support.operator_process import OperatorProcess
from support.waiting import eventually

DEFINITION = yaml.safe_load(CRD.read_text())
NAME = DEFINITION["metadata"]["name"]
CACHE: dict[str, Any] = {
    "apiVersion": "modelcache.dev/v1alpha1",
    "kind": "ModelCache",
    "metadata": {"name": "cache"},
    "spec": {"volume": {"claimName": "models"}, "models": [{"name": "base", "repo": "owner/small", "path": "base"}]},
}


@pytest.fixture(params=["local", *(["real"] if assets() else [])])
def kubeconfig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        if request.param == "local":
            yield stack.enter_context(LocalApi()).kubeconfig(tmp_path)
        elif programs := assets():
            yield stack.enter_context(RealApi(programs, tmp_path)).kubeconfig()


@pytest.fixture
def client(kubeconfig: Path) -> Iterator[Client]:
    made = Client(kubeconfig)
    define(made)
    yield made
    made.close()


def define(client: Client) -> None:
    client.create("customresourcedefinitions", DEFINITION, "")
    eventually(lambda: client.list("modelcaches", "default") == [], "the API serves modelcaches", 30)


def test_a_definition_that_is_deleted_ends_the_operator_with_a_line_that_says_so(
    kubeconfig: Path, client: Client
) -> None:
    operator = OperatorProcess(kubeconfig)
    with operator.running():
        client.create("modelcaches", CACHE, "default")
        operator.wait_for("phase")
        client.delete("customresourcedefinitions", NAME, "")
        assert operator.process.wait(30) == 1
    (line,) = [each for each in operator.lines if "watching" in each["message"]]
    assert (line["level"], "exception" in line) == ("error", False)
    assert "The custom resource definition was deleted, and every ModelCache with it" in line["message"]
    assert "Apply charts/modelcache/charts/crds/crds/" in line["message"]
    with operator.running(ready=False):
        eventually(lambda: any("definition installed?" in each["message"] for each in operator.lines), "it asks", 20)
        define(client)
        operator.wait_for("everything listed", 40)
        assert operator.stop() == 0
