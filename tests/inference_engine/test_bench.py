"""The measuring command, at a size that any machine can run."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from bench_multitalk import main
from inference.engine.dit.model import MultiTalkDiT
from multitalk_bench.length import measure_apart
from multitalk_bench.step import Setting, describe, measure
from multitalk_bench.volume import Task, measure_volume
from multitalk_checkpoint import official
from multitalk_checkpoint.full_size import RepeatedNoise
from multitalk_checkpoint.tiny import TinySizes, dit_config, tiny_networks
from multitalk_checkpoint.writing import write_checkpoint


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("two_passes", [True, False])
def test_a_step_is_timed(people: int, two_passes: bool) -> None:
    setting = Setting(torch.device("cpu"), people, two_passes, height=64, width=96, frames=9, steps=2)
    result = measure(dit_config(TinySizes()), setting)
    assert result.tokens == 3 * 4 * 6
    assert 0 < result.seconds_per_step < 30
    assert describe(setting, result)["passes"] == (2 if two_passes else 3)


def test_a_volume_of_the_official_layout_is_written_loaded_and_measured(tmp_path: Path) -> None:
    """The sizes are small ones here; everything else is as the command does it."""
    tiny = tiny_networks(TinySizes(layers=3))
    write_checkpoint(tmp_path, replace(tiny, dit_dtype=torch.bfloat16), RepeatedNoise())
    found = measure_volume(Task(tmp_path, device="cpu", people=2, frames=9, steps=2))
    with torch.device("meta"):
        expected = sum(parameter.numel() * 2 for parameter in MultiTalkDiT(tiny.dit).parameters())
    assert found["load"]["components"]["transformer"]["bytes"] == expected
    assert found["plan"]["hostBlocks"] == 0
    assert found["secondsPerStep"] > 0
    assert found["stageSeconds"].keys() == {
        "loading", "reading", "encoding", "sampling, first step", "sampling", "decoding"
    }  # fmt: skip
    assert found["hostPeakBytes"] > 0


def test_the_repeated_numbers_have_the_spread_of_their_role() -> None:
    noise = partial(RepeatedNoise(3), "dit")
    wide = noise("blocks.0.ffn.0.weight", (8192, 4096))
    assert wide.std().item() == pytest.approx(1 / 64, rel=0.01)
    assert abs(wide.mean().item()) < 1e-4
    assert noise("blocks.0.norm3.weight", (4096,)).mean().item() == pytest.approx(1, abs=0.01)
    assert noise("log_scale", ()).shape == ()


@pytest.mark.parametrize("command", [[], ["step"], ["checkpoint"], ["volume"], ["exchange"]])
def test_the_command_explains_itself(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *command, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "usage: bench " in capsys.readouterr().out


def test_the_command_prints_one_line_of_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(official, "DIT", dit_config(TinySizes()))
    small = ["--height", "32", "--width", "32", "--frames", "5", "--steps", "1", "--layers", "1"]
    monkeypatch.setattr("sys.argv", ["bench", "step", "--device", "cpu", *small])
    main()
    found = json.loads(capsys.readouterr().out)
    assert (found["device"], found["tokens"], found["passes"]) == ("cpu", 8, 3)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["volume", "/nonexistent", "--device", "cpu"], 1, "missing Wan2.1-I2V-14B-480P/config.json"),
        (["volume", "/nonexistent", "--device", "gpu"], 1, "'gpu' is no device"),
        (["step", "--device", "nothing"], 1, "'nothing' is no device"),
        (["checkpoint", "/proc/none", "--layers", "1"], 1, "/proc/none"),
        (["step", "--steps", "0"], 2, "--steps: 0 is not above 0"),
        (["volume", "/nonexistent", "--frames", "many"], 2, "--frames"),
    ],
)
def test_a_wrong_input_ends_with_a_line(
    command: list[str], code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert message in capsys.readouterr().err


def test_the_memory_of_a_dubbed_clip_is_measured_by_its_length() -> None:
    found = measure_apart(4)
    assert (found["seconds"], found["windows"]) == (4, 2)
    assert 0 < found["peak_mib_loaded"] < found["peak_mib"]
