"""What is said of the bytes that several devices exchange is what they exchange."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

import pytest
from torch import Tensor

from bench_multitalk import main
from inference.engine import load_engine
from inference.engine.dit import parallel
from inference.engine.dit.parallel import TokenShards
from inference.engine.predictor import WindowPredictor
from inference.generation import Sampling
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference_engine.own_numbers import made
from multitalk_bench.exchange import Exchange
from multitalk_checkpoint import official
from multitalk_checkpoint.tiny import TinySizes, dit_config, write_tiny

FRAMES = 9
"""One window of the tiny checkpoint."""


class Counter:
    """Stands in for torch.distributed: counts what this process would send to the others, and receives zeros."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self.sent = 0

    def all_to_all_single(self, received: Tensor, outgoing: Tensor) -> None:
        self.sent += outgoing.nbytes * (self.devices - 1) // self.devices
        received.zero_()

    def all_gather(self, parts: Sequence[Tensor], part: Tensor) -> None:
        self.sent += part.nbytes * (self.devices - 1)
        for each in parts:
            each.zero_()

    def all_reduce(self, x: Tensor) -> None:
        self.sent += 2 * x.nbytes * (self.devices - 1) // self.devices


@pytest.mark.parametrize(("people", "guidance"), [(1, 5.0), (2, 5.0), (2, 1.0)], ids=["one", "two", "two, two passes"])
@pytest.mark.parametrize("devices", [2, 4])
def test_the_bytes_of_a_step_are_those_that_are_sent(
    devices: int,
    people: int,
    guidance: float,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sizes = TinySizes(heads=4)
    volume = write_tiny(tmp_path_factory.mktemp("exchange"), sizes)
    engine = load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    counter = Counter(devices)
    monkeypatch.setattr(parallel, "dist", counter)
    sampling = Sampling(steps=1, text_guidance=guidance)
    made(engine, people, FRAMES, sampling, (48, 48), partial(WindowPredictor, shards=TokenShards(0, devices)))
    passes = 2 if guidance == 1 else 3
    assert counter.sent == Exchange(devices, 27, passes, people, element_bytes=4).sent_bytes(dit_config(sizes))


def test_the_command_computes_a_step_of_the_published_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--devices", "4", "--alone-s", "10.3", "--gigabytes-per-second", "50"]
    monkeypatch.setattr("sys.argv", ["bench", "exchange", *given])
    main()
    found = json.loads(capsys.readouterr().out)
    assert found["sentBytes"] == Exchange(4, 33_600).sent_bytes(official.DIT)
    assert found["sentBytes"] == pytest.approx(40 * 3 * 6 * 8_400 * 5_120 * 2 * 3 / 4, rel=0.001)
    assert found["computedSecondsPerStep"] == pytest.approx(10.3 / 4 + found["sentBytes"] / 50e9, abs=0.01)
