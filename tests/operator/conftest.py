"""Which Kubernetes API the integration tests run on: the in-memory one, and a real one where there is one.

A real one is found by ``KUBEBUILDER_ASSETS`` (etcd and kube-apiserver, as envtest has them), or by
``MODELCACHE_TEST_KUBECONFIG`` (any cluster that may be played with). ``MODELCACHE_TEST_API=local`` or ``real``
narrows the choice. The header says what ran on which. Each test has a namespace of its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cluster import Cluster, Space, prepared
from support.kubeapi import ApiError, FaultProxy, LocalApi, RealApi, assets
from support.operator_process import OperatorProcess
from support.pure_cluster import PureCluster
from support.reports import complete

CHOICE = os.environ.get("MODELCACHE_TEST_API", "")
GIVEN = os.environ.get("MODELCACHE_TEST_KUBECONFIG")


def _choices() -> list[str]:
    real = ["real"] if GIVEN or assets() else []
    return [each for each in ["local", *real] if CHOICE in ("", each)] or [CHOICE]


def pytest_report_header() -> str:
    return f"Kubernetes APIs: {', '.join(_choices())}" + ("" if "real" in _choices() else " (no KUBEBUILDER_ASSETS)")


@pytest.fixture(scope="session", params=_choices())
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    if request.param == "local":
        with LocalApi() as api:
            yield from _prepared(api.kubeconfig(folder), api, None)
    elif GIVEN:
        yield from _prepared(Path(GIVEN), None, None)
    else:
        programs = assets()
        if programs is None:
            pytest.skip("no real API server: set KUBEBUILDER_ASSETS")
        with RealApi(programs, folder) as real:
            yield from _prepared(real.kubeconfig(), None, real)


def _prepared(kubeconfig: Path, local: LocalApi | None, real: RealApi | None) -> Iterator[Cluster]:
    found = prepared(kubeconfig, local, real)
    yield found
    found.client.close()


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    with _space(cluster) as found:
        yield found


@pytest.fixture
def other_space(cluster: Cluster) -> Iterator[Space]:
    """A second namespace."""
    with _space(cluster) as found:
        yield found


@contextmanager
def _space(cluster: Cluster) -> Iterator[Space]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.client.create("namespaces", {"metadata": {"name": name}}, "")
    yield Space(cluster, name)
    for resource in ("modelcaches", "pods", "jobs"):
        for each in cluster.client.list(resource, name):
            try:
                cluster.client.delete(resource, each["metadata"]["name"], name)
            except ApiError as error:
                if error.code != 404:
                    raise


@pytest.fixture
def operator(space: Space) -> Iterator[OperatorProcess]:
    """A running operator that serves the test's namespace."""
    with OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,)) as running:
        yield running


@pytest.fixture
def proxy(space: Space) -> Iterator[FaultProxy]:
    """A way to the API on which calls are recorded, and spoilt on demand; tests themselves do not go through it."""
    with FaultProxy(space.cluster.kubeconfig) as running:
        yield running


@pytest.fixture
def faulty(proxy: FaultProxy, space: Space, tmp_path: Path) -> OperatorProcess:
    """An operator behind the proxy, not yet started."""
    return OperatorProcess(proxy.kubeconfig(tmp_path), namespaces=(space.namespace,))


@pytest.fixture
def world() -> PureCluster:
    return PureCluster()


@pytest.fixture
def ready(world: PureCluster) -> PureCluster:
    world.settle()
    world.sync_well(complete())
    world.now += 100
    return world
