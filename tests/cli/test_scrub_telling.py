"""``scrub``: its log, its metrics, and what it says of what it cannot do."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cli.test_scrub import scrub, slow_scrub
from support.sync import run_command
from support.waiting import eventually

Spec = dict[str, Any]


class TestTelling:
    def test_the_log_says_how_much_at_which_priority_and_how_it_ended(self, spec: Spec, whole: Path) -> None:
        lines = scrub(spec, whole, "--log-format", "json").lines
        messages = [json.loads(line)["message"] for line in lines]
        assert [messages[0], messages[2]] == [
            "Reading 2.0 MiB in 6 files again",
            "2.0 MiB read again, nothing is damaged",
        ]
        assert messages[1].startswith("Priority: ")

    def test_metrics_are_those_of_a_sync(self, spec: Spec, whole: Path) -> None:
        with slow_scrub(spec, whole, "--metrics-port", "0") as process:
            assert process.stdout is not None
            port = next(int(found[1]) for line in process.stdout if (found := re.search(r"localhost:(\d+)", line)))

            def read_bytes() -> float:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    text = answer.read().decode()
                found = re.search(r'^modelcache_sync_verified_bytes_total\{cache="cache"\} (\S+)', text, re.MULTILINE)
                return float(found[1]) if found else 0.0

            assert eventually(read_bytes, "bytes that were read") > 0

    @pytest.mark.parametrize(
        "arguments",
        [("--rate", "1Ki"), ("--rate", "fast"), ("--older-than", "a week"), ("--older-than", "")],
        ids=" ".join,
    )
    def test_what_cannot_be_meant_is_refused(self, arguments: tuple[str, ...], spec: Spec, whole: Path) -> None:
        done = run_command("scrub", spec, whole, *arguments)
        assert done.returncode == 2
        assert arguments[0] in done.stderr

    def test_a_volume_that_is_not_there_and_a_model_that_is_not_complete(
        self, spec: Spec, whole: Path, tmp_path: Path
    ) -> None:
        done = scrub(spec, tmp_path / "nowhere")
        assert (done.returncode, done.report["models"][0]["reason"]) == (2, "FileMissing")
        (whole / "multitalk/index.json").unlink()
        done = scrub(spec, whole)
        assert (done.returncode, done.reasons()["multitalk"]) == (1, "FileMissing")
