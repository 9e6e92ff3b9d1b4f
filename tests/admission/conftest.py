"""One API server for all tests of this folder, with service accounts as in a cluster, and two releases' policies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from admission.ground import NAMESPACES, RELEASES, Ground
from support.cluster import prepared
from support.helm import Helm
from support.kubeapi import RealApi, assets
from support.waiting import eventually


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, helm: Helm) -> Iterator[Ground]:
    programs = assets()
    if programs is None:
        pytest.skip("admission policies need a real API server: set KUBEBUILDER_ASSETS")
    with RealApi(programs, tmp_path_factory.mktemp("admission"), service_accounts=True) as real:
        cluster = prepared(real.kubeconfig(), None, real)
        yield Ground(cluster.client, real, helm)
        cluster.client.close()


@pytest.fixture(scope="session")
def server(api: Ground) -> Ground:
    if not api.has_mutating_policies():
        pytest.skip("this API server has no MutatingAdmissionPolicy of v1: Kubernetes 1.36 has it")
    return api


@pytest.fixture(scope="session")
def ground(server: Ground) -> Ground:
    """Namespaces, caches and the policies of two releases, in force."""
    for name, level in NAMESPACES.items():
        server.namespace(name, level)
    for release in RELEASES:
        server.install(release)
    server.make_caches()
    eventually(server.in_force, "the policies are in force", 60)
    return server
