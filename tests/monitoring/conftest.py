"""Fixtures: what the processes export, scraped once, what the chart makes of its rules and dashboards, and promtool."""

from __future__ import annotations

import os
import shutil

import pytest

from monitoring import exported as programs
from monitoring.exported import Exported
from monitoring.sources import Chart
from support.helm import Helm


@pytest.fixture(scope="session")
def expositions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return programs.expositions(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def exported(expositions: dict[str, str]) -> Exported:
    return programs.exported(expositions.values())


@pytest.fixture(scope="session")
def chart(helm: Helm) -> Chart:
    return Chart(helm)


@pytest.fixture
def promtool() -> str:
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not found:
        pytest.skip("no promtool: put it on the PATH or set PROMTOOL=/path/to/promtool")
    return found
