"""Two processes that share one video make what one makes alone."""

from __future__ import annotations

import pytest

from inference_engine.processes import run_together

LIMIT_S = 170


@pytest.mark.timeout(180)
def test_two_processes_make_what_one_makes_alone() -> None:
    said = run_together("inference_engine.several_devices", 2, LIMIT_S)
    assert all("the 3 attention heads cannot be dealt to them evenly. Use one of 3" in text for text in said)
