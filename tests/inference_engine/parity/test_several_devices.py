"""The recorded generations once more, by two and by four processes that share one video."""

from __future__ import annotations

import pytest

from inference_engine.parity import golden
from inference_engine.parity.test_parity import CASES
from inference_engine.processes import run_together

WHOLE = [case for case in CASES if case.kind in ("generate", "infinitetalk_generate")]
TIME_LIMIT_S = 300


@pytest.mark.long
@pytest.mark.skipif(not WHOLE, reason=f"no reference folder: set {' or '.join(golden.VARIABLES.values())}")
@pytest.mark.timeout(2 * TIME_LIMIT_S)
@pytest.mark.parametrize("size", [2, 4])
def test_several_processes_give_the_official_numbers(size: int) -> None:
    """The first process compares the outcome with the reference and fails where it differs."""
    first, *_ = run_together("inference_engine.parity.member", size, TIME_LIMIT_S)
    assert first.split() == [f"{case.folder.name}-{case.id}" for case in WHOLE]
