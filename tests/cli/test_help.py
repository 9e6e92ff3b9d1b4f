"""Help that teaches: what each command does, its options, exit codes and examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from init_sync import __version__


def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120"}
    command = [sys.executable, "-m", "init_sync", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("command", [(), ("sync",), ("verify",), ("status",)], ids=lambda words: " ".join(words) or "-")
def test_help_of_each_command_explains_the_exit_codes(command: tuple[str, ...]) -> None:
    done = ask(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "exit codes:",
        "  0  every model is complete",
        "  1  incomplete, and a retry",
        "  2  incomplete, and no",
    ):
        assert line in done.stdout


def test_help_names_the_commands_with_a_line_each() -> None:
    for name in ("sync", "verify", "status", "plan", "sums", "prune", "scrub"):
        assert re.search(rf"^ +{name} +\w.*\w", ask("--help").stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("sync", ("--spec", "--volume", "--verify", "--log-format", "--log-level", "--report", "--metrics-port")),
        ("verify", ("--spec", "--volume", "--deep")),
        ("status", ("--spec", "--volume", "--json")),
        ("sums", ("--spec", "--volume", "--model")),
        ("plan", ("--spec", "--volume", "--refresh", "--compare-to", "--json", "--report")),
        ("scrub", ("--spec", "--volume", "--rate", "--older-than", "--report", "--metrics-port", "--log-format")),
        ("prune", ("--spec", "--volume", "--dry-run", "--json", "--report", "--log-format", "--log-level")),
        ("serve", ("--volume", "--host", "--port", "--token-file", "--log-format", "--log-level")),
    ],
)
def test_every_option_of_the_contract_is_explained(command: str, options: tuple[str, ...]) -> None:
    text = ask(command, "--help").stdout.partition("options:")[2]
    for option in options:
        assert re.search(rf"^ +{option}[ ,\w{{}}]*\s+\w+", text, re.MULTILINE), option


def test_help_of_sync_has_examples_of_files_that_exist_and_names_the_environment() -> None:
    text = ask("sync", "--help").stdout
    examples = set(re.findall(r"--spec (examples/\S+)", text))
    assert examples
    for name in examples:
        assert yaml.safe_load((Path(__file__).parents[2] / name).read_text())["kind"] == "ModelCache"
    for variable in ("HF_ENDPOINT", "HF_TOKEN", "HTTPS_PROXY"):
        assert variable in text


@pytest.mark.parametrize("arguments", [(), ("fetch",), ("sync",), ("status", "--spec", "x")], ids=str)
def test_a_command_line_that_is_incomplete_is_exit_code_2_with_the_usage(arguments: tuple[str, ...]) -> None:
    done = ask(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: init-sync")
    assert "required" in done.stderr or "invalid choice" in done.stderr


def test_the_version_is_that_of_the_package() -> None:
    assert ask("--version").stdout == f"init-sync {__version__}\n"


def test_the_command_is_installed_beside_python() -> None:
    command = Path(sys.executable).parent / "init-sync"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=30)
    assert done.stdout == ask("--version").stdout
