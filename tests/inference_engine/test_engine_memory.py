"""What stays on the device, and that weights which wait on the host compute the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from inference.engine import EngineError, MultiTalkEngine, load_engine
from inference.engine.components import module_bytes
from inference.engine.memory import (
    RESERVE_SHARE,
    MemoryPlan,
    ModelBytes,
    activation_bytes_per_token,
    plan_memory,
)
from inference.engine.offload import HostBlock, lent, stream_blocks
from inference.generation import GenerationRequest
from inference.tiny import AUDIO, BASE, WAV2VEC, TinySizes, write_tiny

GB = 10**9
CPU = torch.device("cpu")
FULL = ModelBytes(dit=38 * GB, block=GB * 9 // 10, blocks=40, encoders=13 * GB, always=GB)
PER_TOKEN = 200_000
TOKENS = 30_000


def plan(limit_gb: float | None) -> MemoryPlan:
    limit = None if limit_gb is None else int(limit_gb * GB / (1 - RESERVE_SHARE))
    return plan_memory(limit, FULL, PER_TOKEN, TOKENS)


@pytest.mark.parametrize(
    ("limit_gb", "encoders_on_host", "host_blocks"),
    [
        (None, False, 0),
        (200, False, 0),
        (58.1, False, 0),
        (57.9, True, 0),
        (45.1, True, 0),
        (44, True, 4),
        (30, True, 19),
    ],
)
def test_room_is_given_up_in_order(limit_gb: float | None, encoders_on_host: bool, host_blocks: int) -> None:
    made = plan(limit_gb)
    assert (made.encoders_on_host, made.host_blocks) == (encoders_on_host, host_blocks)


@pytest.mark.parametrize("limit_gb", [12, 20, 30, 44, 50, 58, 80])
def test_a_plan_stays_below_its_limit(limit_gb: float) -> None:
    made = plan(limit_gb)
    assert made.limit_bytes is not None
    assert made.resident_bytes + TOKENS * PER_TOKEN <= made.limit_bytes * (1 - RESERVE_SHARE) + 1


def test_a_limit_that_cannot_work_names_what_would() -> None:
    with pytest.raises(EngineError, match=r"into 5\.3 GB: at least 11\.\d GB are needed"):
        plan(5)


def test_passes_are_batched_when_they_fit() -> None:
    assert plan(None).batches(80_000, 3)
    assert plan(71).batches(TOKENS, 3)
    assert not plan(60).batches(TOKENS, 3)
    assert plan(60).batches(TOKENS, 1)


class Doubled(nn.Module):
    """A block that counts on whose weights it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.seen: list[int] = []

    def forward(self, x: Tensor, by: float) -> Tensor:
        self.seen.append(self.linear.weight.data_ptr())
        out: Tensor = self.linear(x) * by
        return out


def test_blocks_on_the_host_compute_what_they_would_on_the_device() -> None:
    blocks = nn.ModuleList(Doubled() for _ in range(4))
    x = torch.randn(2, 4)
    expected = x
    for block in blocks:
        expected = block(expected, 2.0)
    streamed = stream_blocks(blocks, 3, CPU)
    assert [isinstance(block, HostBlock) for block in streamed] == [False, True, True, True]
    for _ in range(2):
        found = x
        for block in streamed:
            found = block(found, 2.0)
        assert torch.equal(found, expected)


def test_a_block_on_the_host_fetches_only_itself_and_the_next() -> None:
    streamed = stream_blocks(nn.ModuleList(Doubled() for _ in range(4)), 4, CPU)
    hosts = [block for block in streamed if isinstance(block, HostBlock)]
    hosts[1](torch.zeros(1, 4), 1.0)
    assert [block._fetched is not None for block in hosts] == [False, False, True, False]
    hosts[3](torch.zeros(1, 4), 1.0)
    assert [block._fetched is not None for block in hosts] == [True, False, True, False]
    assert sum(1 for _ in streamed.parameters()) == 8


def test_a_lent_module_goes_home_even_after_an_error() -> None:
    module = nn.Linear(2, 2)
    home = module.weight.data_ptr()
    guests = []

    def work() -> None:
        with lent(module, torch.clone):
            guests.append(module.weight.data_ptr())
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert guests != [home]
    assert module.weight.data_ptr() == home


def load(volume: Path, limit: int | None) -> MultiTalkEngine:
    return load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu", memory_limit_bytes=limit)


def tight_limit(engine: MultiTalkEngine) -> int:
    """A limit that the transformer and what must stay just miss."""
    parts = engine._parts
    weights = sum(map(module_bytes, (parts.dit, parts.vae.model, parts.voice)))
    activations = engine._geometry.most_tokens("multitalk-480") * activation_bytes_per_token(parts.dit.config, 4)
    return int((weights + activations) / (1 - RESERVE_SHARE)) - 2


def test_an_engine_under_a_limit_makes_the_same_film(
    make_request: Callable[..., GenerationRequest], tmp_path: Path
) -> None:
    volume = write_tiny(tmp_path / "volume", TinySizes(layers=4))
    free = load(volume, None)
    limited = load(volume, tight_limit(free))
    assert [isinstance(block, HostBlock) for block in limited._parts.dit.blocks] == [False, True, True, True]
    for name, one in (("free", free), ("limited", limited)):
        one.generate(make_request(), tmp_path / name, on_progress=lambda _: None, cancelled=lambda: False)
    assert (tmp_path / "free").read_bytes() == (tmp_path / "limited").read_bytes()


def test_a_limit_below_the_least_is_refused_before_loading(tiny_volume: Path) -> None:
    with pytest.raises(EngineError, match="Raise the memory limit"):
        load(tiny_volume, 1_000_000)
