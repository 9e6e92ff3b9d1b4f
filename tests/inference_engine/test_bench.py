"""The measuring command, at a size that any machine can run."""

from __future__ import annotations

import pytest
import torch

from inference.bench import FULL, Setting, describe, measure
from inference.tiny import TinySizes, dit_config


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("two_passes", [True, False])
def test_a_step_is_timed(people: int, two_passes: bool) -> None:
    setting = Setting(torch.device("cpu"), people, two_passes, height=64, width=96, frames=9, steps=2)
    result = measure(dit_config(TinySizes()), setting)
    assert result.tokens == 3 * 4 * 6
    assert 0 < result.seconds_per_step < 30
    assert describe(setting, result)["passes"] == (2 if two_passes else 3)


def test_the_full_size_is_the_published_one() -> None:
    assert (FULL.dim, FULL.num_layers, FULL.head_dim, FULL.audio.features) == (5120, 40, 128, 9216)
