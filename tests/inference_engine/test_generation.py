"""The interface between server and engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from inference.generation import InvalidInput, Progress


@pytest.mark.parametrize(
    ("window", "step", "fraction"), [(0, 0, 0.0), (0, 5, 0.25), (1, 0, 0.5), (1, 10, 1.0), (2, 10, 1.0)]
)
def test_the_fraction_counts_the_steps_of_all_windows(window: int, step: int, fraction: float) -> None:
    assert Progress("sampling", window, 2, step, 10).fraction == fraction


def test_nothing_to_do_is_no_progress() -> None:
    assert Progress("reading", 0, 0, 0, 0).fraction == 0.0


def test_an_invalid_input_carries_its_field() -> None:
    error = InvalidInput("input_reference", "it is empty")
    assert (error.field, error.message, str(error)) == (
        "input_reference",
        "it is empty",
        "input_reference: it is empty",
    )


def test_the_interface_costs_no_torch() -> None:
    code = "import inference.generation, sys; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert result.stdout.strip() == "False"
