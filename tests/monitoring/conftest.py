"""Fixtures: what the processes export, scraped once, and what the chart makes of its rules and dashboards."""

from __future__ import annotations

import pytest

from monitoring.exported import Exported
from monitoring.exported import exported as scrape_all
from monitoring.sources import Chart
from support.helm import Helm


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return scrape_all(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def chart(helm: Helm) -> Chart:
    return Chart(helm)
