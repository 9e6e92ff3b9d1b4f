"""Each set of values is rendered once, by Helm itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from chart.objects import Objects
from chart.sets import SETS
from support.helm import Helm, Release

Render = Callable[..., Objects]


@pytest.fixture(scope="session")
def rendered(helm: Helm) -> Callable[[str], Objects]:
    """By the name of the set."""

    @cache
    def render(name: str) -> Objects:
        return Objects(tuple(helm.render(SETS[name])))

    return render


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """With values of the test's own: ``render(cache={"enabled": False})``."""

    def render(**values: object) -> Objects:
        return Objects(tuple(helm.render(Release(values))))

    return render


@pytest.fixture(params=sorted(SETS))
def each_set(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def objects(rendered: Callable[[str], Objects], each_set: str) -> Objects:
    """Of each set in turn."""
    return rendered(each_set)
