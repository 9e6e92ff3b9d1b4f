"""Fixtures: version 0.1.0, and a Kubernetes API on which its definition is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import Cluster
from support.first_release import FirstRelease, NoHistory
from support.kubeapi import LocalApi, RealApi, assets
from support.kubeapi.client import Client
from support.waiting import eventually


@pytest.fixture(scope="session")
def first_release(tmp_path_factory: pytest.TempPathFactory) -> FirstRelease:
    try:
        return FirstRelease.unpacked(tmp_path_factory.mktemp("release"))
    except NoHistory as error:
        pytest.skip(str(error))


@pytest.fixture(params=["local", *(["real"] if assets() else [])])
def old_cluster(request: pytest.FixtureRequest, first_release: FirstRelease, tmp_path: Path) -> Iterator[Cluster]:
    """An API with the definition of 0.1.0."""
    programs = assets()
    if request.param == "real" and programs:
        with RealApi(programs, tmp_path) as real:
            yield from _with_definition(first_release, real.kubeconfig())
    else:
        with LocalApi() as local:
            yield from _with_definition(first_release, local.kubeconfig(tmp_path))


def _with_definition(first_release: FirstRelease, kubeconfig: Path) -> Iterator[Cluster]:
    client = Client(kubeconfig)
    client.create("customresourcedefinitions", first_release.definition, "")
    eventually(lambda: client.list("modelcaches", "default") == [], "the API serves modelcaches", 30)
    yield Cluster(client, kubeconfig)
    client.close()
