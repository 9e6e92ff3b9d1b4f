"""Fixtures: what the processes export, scraped once."""

from __future__ import annotations

import pytest

from monitoring.exported import Exported
from monitoring.exported import exported as scrape_all


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return scrape_all(tmp_path_factory.mktemp("exported"))
