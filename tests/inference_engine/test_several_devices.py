"""Processes that share one video make what one makes alone, wherever their weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from inference.engine import EngineError, count_devices, device_name, load_engine
from inference.engine.components import module_bytes
from inference.engine.dit.parallel import TokenShards
from inference.membership import ALONE, Membership
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference_engine.processes import run_together
from inference_engine.test_engine_memory import tight_limit
from multitalk_checkpoint.tiny import TinySizes, write_tiny

LIMIT_S = 280
TOLERANCE = 1e-3
LAYERS = 8


@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.long)])
def test_several_processes_make_what_one_makes_alone(size: int, tmp_path: Path) -> None:
    """First with all weights on each device, then with shared blocks, then with the shares of some on the host."""
    volume = write_tiny(tmp_path / "volume", TinySizes(heads=4, layers=LAYERS))
    engine = load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    tight = tight_limit(engine)
    tighter = tight - 9 * module_bytes(engine._parts.dit.blocks[0]) // 2
    first, *_ = run_together("inference_engine.several_devices", size, LIMIT_S, str(volume), f"0,{tight},{tighter}")
    everywhere, shared, on_host = (lines.splitlines() for lines in first.strip().split("\n\n"))
    assert all(float(line.split()[0]) < TOLERANCE for line in everywhere[1:])
    assert shared[1:] == on_host[1:] == everywhere[1:]  # to the last bit
    plans = [[int(word) for word in lines[0].split()] for lines in (everywhere, shared, on_host)]
    assert plans[0] == [0, 0]
    assert 0 < plans[1][0] < LAYERS
    assert plans[1][1] == 0
    assert plans[2][0] == LAYERS
    assert plans[2][1] > 0


def test_a_number_of_devices_to_which_the_heads_cannot_be_dealt_is_refused_with_those_that_fit() -> None:
    TokenShards(0, 8).check_heads(40)
    with pytest.raises(
        EngineError, match=r"joining 3 devices: the 40 attention heads .* Use one of 2, 4, 5, 8, 10, 20, 40"
    ):
        TokenShards(0, 3).check_heads(40)


@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.parametrize(("state", "reason"), [("absent", "timed out"), ("broken", "connection")])
def test_a_process_that_takes_no_part_or_fails_in_a_step_does_not_hold_up_the_first(state: str, reason: str) -> None:
    first, *_ = run_together("inference_engine.failing_rank", 2, LIMIT_S, state)
    assert first.startswith("making a step with all devices: ")
    assert reason in first.lower(), first


@pytest.mark.parametrize(
    ("wanted", "device", "visible", "count"),
    [
        (1, "cuda", 0, 1),
        (2, "cuda", 4, 2),
        ("all", "cuda", 4, 4),
        ("all", "cuda", 0, 1),
        ("all", "cpu", 4, 1),
        (3, "cpu", 0, 3),
    ],
)
def test_as_many_devices_are_used_as_are_asked_for(
    wanted: int | Literal["all"], device: str, visible: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: visible)
    assert count_devices(wanted, device) == count


def test_more_devices_than_can_be_seen_are_refused_with_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(EngineError, match=r"--gpus is 4, and 2 can be seen\. Use --gpus 2, or give the pod more"):
        count_devices(4, "cuda")


def test_each_process_has_the_device_of_its_local_rank() -> None:
    second = Membership(3, 4, 1)
    assert [device_name(name, second) for name in ("cuda", "cpu")] == ["cuda:1", "cpu"]
    assert [device_name(name, ALONE) for name in ("cuda", "cuda:1", "nonsense")] == ["cuda", "cuda:1", "nonsense"]
