"""The engine against its own recorded outputs; the comparison with the official code is in `parity`."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from inference.engine import MultiTalkEngine
from inference_engine import own_numbers


def test_every_recorded_output_has_a_test() -> None:
    assert load_file(own_numbers.FILE).keys() == own_numbers.OUTPUTS.keys()


@pytest.mark.parametrize("name", own_numbers.OUTPUTS)
def test_outputs_are_those_recorded(engine: MultiTalkEngine, name: str) -> None:
    expected = load_file(own_numbers.FILE)[name]
    found = own_numbers.OUTPUTS[name](engine)
    assert found.shape == expected.shape
    largest = expected.abs().max().item()
    assert (found - expected).abs().max().item() <= own_numbers.TOLERANCE * largest
