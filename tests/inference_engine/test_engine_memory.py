"""What stays on the device, and that weights which wait on the host compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from inference.engine import EngineError, MultiTalkEngine, load_engine
from inference.engine.checkpoint.streaming import READ_AHEAD
from inference.engine.components import module_bytes
from inference.engine.memory import (
    RESERVE_SHARE,
    MemoryPlan,
    ModelBytes,
    WorkBytes,
    plan_memory,
    work_bytes,
)
from inference.engine.offload import StreamedBlock, lent, stream_blocks
from inference.engine.packing import ALIGNMENT, PackedWeights, Packing
from inference.generation import GenerationRequest, InvalidInput, MediaInfo, VoiceInfo
from inference.multitalk import AUDIO, BASE, WAV2VEC
from multitalk_checkpoint.official import DIT as OFFICIAL
from multitalk_checkpoint.tiny import TinySizes, write_tiny

GB = 10**9
CPU = torch.device("cpu")
FULL = ModelBytes(dit=38 * GB, block=GB * 9 // 10, blocks=40, encoders=(11 * GB, 2 * GB), always=GB)
WORK = WorkBytes(per_token=200_000, per_pixel=20_000)
TOKENS, PIXELS = 30_000, 400_000


def plan(limit_gb: float | None, devices: int = 1) -> MemoryPlan:
    limit = None if limit_gb is None else int(limit_gb * GB / (1 - RESERVE_SHARE))
    return plan_memory(limit, FULL, WORK, TOKENS, PIXELS, devices)


@pytest.mark.parametrize(
    ("limit_gb", "encoders_on_host", "host_blocks"),
    [
        (None, False, 0),
        (200, False, 0),
        (60.1, False, 0),
        (59.9, True, 0),
        (50.1, True, 0),
        (49.9, True, 3),
        (44, True, 9),
        (30, True, 25),
    ],
)
def test_room_is_given_up_in_order(limit_gb: float | None, encoders_on_host: bool, host_blocks: int) -> None:
    made = plan(limit_gb)
    assert (made.encoders_on_host, made.host_blocks) == (encoders_on_host, host_blocks)


@pytest.mark.parametrize(
    ("devices", "limit_gb", "shared_blocks", "host_blocks"),
    [
        (2, None, 0, 0),
        (2, 60.1, 0, 0),
        (2, 50.1, 0, 0),
        (2, 49.9, 5, 0),
        (2, 40, 27, 0),
        (2, 34, 40, 0),
        (2, 33, 40, 4),
        (4, 49.9, 3, 0),
        (4, 30, 33, 0),
        (4, 24, 40, 6),
    ],
)
def test_several_devices_share_blocks_before_any_waits_on_the_host(
    devices: int, limit_gb: float | None, shared_blocks: int, host_blocks: int
) -> None:
    made = plan(limit_gb, devices)
    assert (made.shared_blocks, made.host_blocks) == (shared_blocks, host_blocks)


@pytest.mark.parametrize("devices", [1, 2, 4])
@pytest.mark.parametrize("limit_gb", [18, 20, 30, 44, 50, 60, 80])
def test_a_plan_leaves_room_for_whatever_works(limit_gb: float, devices: int) -> None:
    made = plan(limit_gb, devices)
    assert made.limit_bytes is not None
    free = made.limit_bytes * (1 - RESERVE_SHARE) - made.resident_bytes + 1
    assert free >= TOKENS * WORK.per_token
    assert free >= PIXELS * WORK.per_pixel
    assert not made.encoders_on_host or free >= max(FULL.encoders)


def test_a_limit_that_cannot_work_names_what_would() -> None:
    with pytest.raises(EngineError, match=r"into 5\.3 GB: at least 16\.\d GB are needed") as raised:
        plan(5)
    named = float(str(raised.value).split("at least ")[1].split()[0])
    assert plan_memory(int((named + 0.1) * GB), FULL, WORK, TOKENS, PIXELS).host_blocks == FULL.blocks
    with pytest.raises(EngineError):
        plan_memory(int((named - 0.1) * GB), FULL, WORK, TOKENS, PIXELS)


def test_passes_are_batched_when_they_fit() -> None:
    assert plan(None).batches(80_000, 3)
    assert plan(71).batches(TOKENS, 3)
    assert not plan(61).batches(TOKENS, 3)
    assert plan(61).batches(TOKENS, 1)


def test_a_window_that_surely_does_not_fit_is_known_before() -> None:
    made = plan(61)
    assert made.shortage(TOKENS, PIXELS) == 0
    assert made.shortage(TOKENS, 10 * PIXELS) > 0
    assert made.shortage(10 * TOKENS, PIXELS) > 0
    assert plan(None).shortage(10**9, 10**9) == 0


def test_the_estimates_stay_above_what_was_measured() -> None:
    work = work_bytes(OFFICIAL, 2, base_channels=96)
    assert 123_600 < work.per_token < 1.2 * 123_600  # one pass of 33,600 tokens on an H100
    assert 24_560 < work.per_pixel < 1.2 * 24_560  # 81 frames of 640 x 640 and of 960 x 960


def test_several_devices_share_the_work_of_a_step_but_not_all_of_it() -> None:
    alone, *shared = (work_bytes(OFFICIAL, 2, base_channels=96, devices=devices) for devices in (1, 2, 4, 8))
    assert {each.per_pixel for each in shared} == {alone.per_pixel}
    for devices, work in zip((2, 4, 8), shared, strict=True):
        assert alone.per_token / devices < work.per_token < alone.per_token / devices + 0.2 * alone.per_token


def test_tensors_on_their_way_find_room_while_the_networks_are_loaded() -> None:
    made = plan_memory(60 * GB, replace(FULL, arriving=20 * GB), WORK, TOKENS, PIXELS)
    assert made.resident_bytes + 20 * GB <= 60 * GB * (1 - RESERVE_SHARE)


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


def on_host(blocks: nn.ModuleList, count: int) -> nn.ModuleList:
    """The list with its last blocks on the host."""
    return stream_blocks(blocks, [PackedWeights(block, page_locked=False) for block in list(blocks)[-count:]], CPU)


def test_blocks_on_the_host_compute_what_they_would_on_the_device() -> None:
    blocks = nn.ModuleList(Doubled() for _ in range(4))
    x = torch.randn(2, 4)
    expected = x
    for block in blocks:
        expected = block(expected, 2.0)
    streamed = on_host(blocks, 3)
    assert [isinstance(block, StreamedBlock) for block in streamed] == [False, True, True, True]
    for _ in range(2):
        found = x
        for block in streamed:
            found = block(found, 2.0)
        assert torch.equal(found, expected)


def test_a_block_on_the_host_fetches_only_itself_and_the_next() -> None:
    streamed = on_host(nn.ModuleList(Doubled() for _ in range(4)), 4)
    hosts = [block for block in streamed if isinstance(block, StreamedBlock)]
    hosts[1](torch.zeros(1, 4), 1.0)
    assert [block._fetched is not None for block in hosts] == [False, False, True, False]
    hosts[3](torch.zeros(1, 4), 1.0)
    assert [block._fetched is not None for block in hosts] == [True, False, True, False]
    assert sum(1 for _ in streamed.parameters()) == 8


def test_packed_weights_are_those_of_the_module_in_one_piece() -> None:
    module = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 7).bfloat16(), nn.LayerNorm(7))
    expected = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    arrived, weights = PackedWeights(module, page_locked=False).fetch(CPU)
    assert weights.keys() == expected.keys()
    for name, parameter in module.named_parameters():
        assert torch.equal(weights[name], expected[name])
        assert torch.equal(parameter, expected[name])
        assert parameter.untyped_storage().data_ptr() == arrived.untyped_storage().data_ptr()
        assert (weights[name].data_ptr() - arrived.data_ptr()) % ALIGNMENT == 0


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_shares_of_all_devices_are_the_weights(size: int) -> None:
    module = nn.Sequential(nn.Linear(50, 30), nn.Linear(3, 7), nn.LayerNorm(7)).bfloat16()
    packing = Packing.of(module, size=size)
    gathered = torch.zeros(packing.share * size, dtype=torch.uint8)
    for rank in range(size):
        for name, weight in module.named_parameters():
            part = packing.part(name, rank, weight.detach())
            start = max(packing.places[name][0], rank * packing.share)
            gathered[start : start + part.numel()] = part
    for name, whole in packing.views(gathered).items():
        assert torch.equal(whole, module.get_parameter(name))


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
    pixels = engine._geometry.most_pixels("multitalk-480")
    arriving = (READ_AHEAD + 1) * max(parameter.nbytes for parameter in parts.dit.parameters())
    work = max(arriving, engine.plan.work.most(engine._geometry.tokens(pixels), pixels))
    lent = max(map(module_bytes, (parts.text.model, parts.clip.model)))
    return int((weights + max(work, lent)) / (1 - RESERVE_SHARE)) - 2


def test_an_engine_under_a_limit_makes_the_same_film(
    make_request: Callable[..., GenerationRequest], tmp_path: Path
) -> None:
    volume = write_tiny(tmp_path / "volume", TinySizes(layers=4))
    free = load(volume, None)
    limited = load(volume, tight_limit(free))
    assert [isinstance(block, StreamedBlock) for block in limited._parts.dit.blocks] == [False, True, True, True]
    for name, one in (("free", free), ("limited", limited)):
        one.generate(make_request(), tmp_path / name, on_progress=lambda _: None, cancelled=lambda: False)
    assert (tmp_path / "free").read_bytes() == (tmp_path / "limited").read_bytes()


def test_a_limit_below_the_least_is_refused_before_loading(tiny_volume: Path) -> None:
    with pytest.raises(EngineError, match="Raise the memory limit"):
        load(tiny_volume, 1_000_000)


def test_a_size_without_room_is_refused_before_the_first_step(
    make_request: Callable[..., GenerationRequest], tmp_path: Path
) -> None:
    volume = write_tiny(tmp_path / "volume", TinySizes(layers=4))
    limited = load(volume, tight_limit(load(volume, None)))
    steps: list[str] = []
    with pytest.raises(InvalidInput, match=r"this device lacks \d+\.\d GB for it.*--room-for multitalk-720") as raised:
        limited.generate(
            make_request(resolution="multitalk-720"),
            tmp_path / "film.mp4",
            on_progress=lambda progress: steps.append(progress.stage),
            cancelled=lambda: False,
        )
    assert raised.value.field == "size"
    assert steps == ["reading"]
    with pytest.raises(InvalidInput, match="--room-for"):
        limited.plan_video(make_request(resolution="multitalk-720"), MediaInfo(160, 90, (VoiceInfo(0.3),)))


def test_room_for_the_larger_size_is_made_when_asked_for(tiny_volume: Path) -> None:
    limit = 4 * tight_limit(load(tiny_volume, None))
    for room_for in ("multitalk-480", "multitalk-720"):
        engine = load_engine(
            tiny_volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu", memory_limit_bytes=limit,
            room_for=room_for,
        )  # fmt: skip
        pixels = engine._geometry.most_pixels(room_for)
        assert engine.plan.shortage(engine._geometry.tokens(pixels), pixels) == 0
    with pytest.raises(EngineError, match="planning the memory: 'full-hd' is not one of multitalk-480, multitalk-720"):
        load_engine(tiny_volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu", room_for="full-hd")
