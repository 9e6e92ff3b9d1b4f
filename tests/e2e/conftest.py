"""One site for all checks, which are steps of one story: when one fails, those after it are skipped."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from e2e import site as sites
from e2e.watching import Watch

_failed: list[str] = []
TAG = os.environ.get("MODELCACHE_E2E_TAG")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(600))
            if not TAG:
                item.add_marker(pytest.mark.skip("these checks need a cluster: KUBECONFIG=... make e2e"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and item.path.parent == Path(__file__).parent:
        _failed.append(item.name)
    return report


@pytest.fixture(autouse=True)
def _after_the_steps_before() -> None:
    if _failed:
        pytest.skip(f"{_failed[0]} has failed")


@pytest.fixture(scope="session")
def site() -> Iterator[sites.Site]:
    assert TAG is not None
    with sites.made(sites.Images(os.environ.get("MODELCACHE_E2E_REGISTRY", ""), TAG)) as made:
        yield made


@pytest.fixture(scope="session")
def pods(site: sites.Site) -> Iterator[Watch]:
    """Every state of every pod of the namespace."""
    with Watch(f"/api/v1/namespaces/{site.kube.namespace}/pods") as watch:
        yield watch
