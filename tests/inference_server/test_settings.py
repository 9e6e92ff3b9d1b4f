"""Flags, environment, defaults and help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inference.generation import LoraFile, Sampling
from inference.server.__main__ import main
from inference.server.config import ServerConfig, make_parser, read_config
from init_sync.shell.flags import WrongSettings, declared

REQUIRED = ["--spec", "m.yaml", "--volume", "/models"]


def test_a_flag_beats_the_environment_and_that_the_default() -> None:
    environment = {"MULTITALK_LISTEN_PORT": "9000", "MULTITALK_QUEUE": "2", "MULTITALK_COMPILE": "yes"}
    config = read_config([*REQUIRED, "--port", "9001"], environment)
    assert (config.port, config.queue, config.compile, config.model) == (9001, 2, True, "multitalk")
    assert read_config([*REQUIRED, "--no-compile"], environment).compile is False


def test_what_kubernetes_sets_for_a_service_named_multitalk_is_not_taken_for_a_setting() -> None:
    links = {
        "MULTITALK_PORT": "tcp://10.0.0.1:80",
        "MULTITALK_SERVICE_HOST": "10.0.0.1",
        "MULTITALK_SERVICE_PORT": "80",
        "MULTITALK_SERVICE_PORT_HTTP": "80",
        "MULTITALK_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert vars(read_config(REQUIRED, links)) == vars(read_config(REQUIRED, {}))
    assert read_config(REQUIRED, links | {"MULTITALK_LISTEN_PORT": "9000"}).port == 9000


def test_the_required_settings_may_come_from_the_environment() -> None:
    config = read_config([], {"MULTITALK_SPEC": "m.yaml", "MULTITALK_VOLUME": "/models", "MULTITALK_LORA": "a,b=0.5"})
    assert (config.volume, config.lora) == (Path("/models"), (LoraFile(Path("a")), LoraFile(Path("b"), 0.5)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a.safetensors", LoraFile(Path("a.safetensors"))),
        ("a.safetensors=0.7", LoraFile(Path("a.safetensors"), 0.7)),
        ("/lora/rank=32.safetensors", LoraFile(Path("/lora/rank=32.safetensors"))),
        ("/lora/rank=32=1.2", LoraFile(Path("/lora/rank=32"), 1.2)),
        ("a=-1", LoraFile(Path("a"), -1.0)),
    ],
)
def test_a_lora_may_say_how_strongly_it_is_merged(text: str, wanted: LoraFile) -> None:
    assert read_config([*REQUIRED, "--lora", text], {}).lora == (wanted,)


@pytest.mark.parametrize("text", ["a=nan", "a=inf", "a=11", "=0.5"])
def test_a_strength_that_cannot_be_meant_is_refused(text: str) -> None:
    (problem,) = problems_of([*REQUIRED, "--lora", text])
    assert problem.startswith(f"--lora: {text!r}")


def test_a_preset_gives_the_numbers_that_distilled_weights_need() -> None:
    assert read_config(REQUIRED, {}).sampling == Sampling()
    fusionx = read_config([*REQUIRED, "--preset", "fusionx"], {}).sampling
    assert fusionx == Sampling(steps=8, text_guidance=1, audio_guidance=2, shift=2)
    assert read_config([*REQUIRED, "--preset", "lightx2v"], {}).sampling.steps == 4


def problems_of(argv: list[str], environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(WrongSettings) as caught:
        read_config(argv, environ or {})
    return caught.value.problems


def test_missing_and_unreadable_settings_are_named_all_at_once() -> None:
    problems = problems_of(["--port", "x"], {"MULTITALK_QUEUE": "many"})
    assert [problem.split()[0].rstrip(":") for problem in problems] == [
        "--spec",
        "--volume",
        "--port",
        "MULTITALK_QUEUE",
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "70000"], "--port: '70000' is not a whole number from 0 to 65535"),
        (["--queue", "-1"], "--queue: '-1' is not a whole number of 0 or more"),
        (["--max-seconds", "0"], "--max-seconds: '0' is not a number above 0"),
        (["--max-results", "0"], "--max-results: '0' is not a whole number of 1 or more"),
        (["--log-level", "loud"], "--log-level: 'loud' is not valid; use debug, info"),
        (["--dtype", "int8"], "--dtype: 'int8' is not valid; use bfloat16"),
        (["--allowed-hosts", "http://a"], "--allowed-hosts: 'http://a' is not a host name"),
        (["--scratch-gib", "0.5"], "no room for results: 9 uploads of up to 64 MiB"),
        (["--result-ttl-s", "nan"], "--result-ttl-s: 'nan' is not a number above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_flag_and_the_cure(flags: list[str], words: str) -> None:
    (problem,) = problems_of([*REQUIRED, *flags])
    assert words in problem


def test_all_settings_that_cannot_work_are_listed_together() -> None:
    assert len(problems_of([*REQUIRED, "--port", "-5", "--grace-s", "-1", "--max-upload-mib", "0"])) == 3


def test_the_help_teaches_every_setting_with_its_default_and_an_example() -> None:
    text = make_parser().format_help()
    for setting in declared(ServerConfig):
        assert setting.option in text
    assert "MULTITALK_MAX_SECONDS" in text
    assert "curl localhost:8000/v1/videos" in text
    assert "exit codes" in text


def test_wrong_settings_are_exit_code_2_and_a_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["multitalk-server", *REQUIRED, "--port", "70000", "--queue", "-1"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main() == 2
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["multitalk-server"] * 2


def test_the_help_tells_one_default_for_each_setting() -> None:
    told = [action.help or "" for action in make_parser()._actions]
    assert [text for text in told if text.count("default:") > 1] == []


def test_without_a_folder_for_temporary_files_the_help_still_works() -> None:
    script = """
import tempfile
def nowhere(): raise FileNotFoundError("no usable temporary directory")
tempfile._get_default_tempdir = nowhere
from inference.server.config import read_config
read_config(["--help"], {})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert "default: /tmp/multitalk" in " ".join(done.stdout.split())


def test_the_module_can_be_run_and_its_help_costs_no_torch() -> None:
    code = """
import runpy, sys
sys.argv = ["x", "--help"]
try:
    runpy.run_module("inference.server", run_name="__main__")
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30, env=environment
    )
    assert done.stdout.startswith("usage: multitalk-server")
    assert done.stderr.strip() == "False"
