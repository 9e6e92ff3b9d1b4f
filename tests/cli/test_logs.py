"""What ``sync`` says: the lines of the contract, JSON for collectors, a bar on a terminal and lines elsewhere."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from init_sync.app import progress_display
from init_sync.app.progress_display import ProgressDisplay, progress_line
from init_sync.core.manifest import parse_manifest
from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.report import Report
from init_sync.core.requirement import RequiredFile, Requirement
from init_sync.sync.progress import Progress
from support.hub import Fault, LocalHub
from support.log_schema import check_log_line
from support.sync import manifest, model, run_sync, start_sync
from support.waiting import eventually

NAMES = ("Base model", "Wav2vec model", "MultiTalk weights")
INCOMPLETE = [f"{name} complete: False" for name in NAMES]
COMPLETE = [f"{name} complete: True" for name in NAMES]


def one_model(repo: str = "owner/base") -> dict[str, Any]:
    return manifest(model("base", repo, displayName="Base model"))


class TestText:
    def test_a_first_run_begins_with_the_lines_of_the_contract(
        self, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        done = run_sync(spec, volume, hub)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.lines[:4] == [*INCOMPLETE, "Some models missing or incomplete, downloading..."]
        assert "All models already complete!" not in done.lines

    def test_a_second_run_says_just_that_there_is_nothing_to_do(self, spec: dict[str, Any], whole: Path) -> None:
        done = run_sync(spec, whole)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.lines == [*COMPLETE, "2.0 MiB on the volume, nothing fetched", "All models already complete!"]

    def test_what_is_fetched_from_which_revision_and_why_has_lines_of_its_own(
        self, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        done = run_sync(spec, volume, hub)
        commits = {each["name"]: each["commit"] for each in done.report["models"]}
        assert f"Base model: main of owner/base is commit {commits['base']}" in done.lines
        assert "Wav2vec model: model.safetensors is not on main" in done.lines
        assert "Wav2vec model: taking model.safetensors from refs/pr/1 instead" in done.lines
        assert f"Fetching 2.0 MiB in 5 files from {hub.endpoint}" in done.lines
        assert "base/weights.safetensors: verified and in place (1.0 MiB)" in done.lines

    def test_what_is_missing_or_damaged_is_named(self, spec: dict[str, Any], whole: Path) -> None:
        (whole / "wav2vec" / "config.json").unlink()
        os.truncate(whole / "base" / "weights.safetensors", 5)
        done = run_sync(spec, whole, None, "--give-up-after", "0.1")
        assert done.lines[:3] == [*INCOMPLETE[:2], COMPLETE[2]]
        assert "Base model: base/weights.safetensors: 5 bytes instead of 1,048,576" in done.lines
        assert "Wav2vec model: wav2vec/config.json: missing" in done.lines

    def test_trouble_that_passes_is_a_warning(self, spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
        hub.add_fault(Fault("status", match=("resolve",), status=503, times=1))
        done = run_sync(spec, volume, hub)
        assert (done.returncode, done.stderr) == (0, "")
        (warning,) = [line for line in done.lines if "503" in line]
        assert re.match(r"warning: .*; trying again in \d", warning)

    def test_trouble_that_stays_ends_with_one_line_on_stderr(
        self, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        hub.add_fault(Fault("status", status=503))
        done = run_sync(spec, volume, hub, "--give-up-after", "0.5")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("init-sync: error: HubUnreachable: ")
        assert "503" in line

    def test_a_display_name_in_any_script_is_shown_as_it_is(self, volume: Path) -> None:
        done = run_sync(manifest(model("m", "o/r", displayName="模型 №1 😀")), volume, None, "--give-up-after", "0.1")
        assert "模型 №1 😀 complete: False" in done.lines

    def test_a_model_without_a_display_name_goes_by_its_name(self, volume: Path) -> None:
        done = run_sync(manifest(model("base", "o/r")), volume, None, "--give-up-after", "0.1")
        assert done.lines[0] == "base complete: False"


class TestJson:
    @pytest.fixture(params=["first", "second"])
    def lines(self, request: pytest.FixtureRequest, spec: dict[str, Any], volume: Path, hub: LocalHub) -> list[Any]:
        target = volume if request.param == "first" else request.getfixturevalue("whole")
        hub.add_fault(Fault("status", match=("blob",), status=503, times=1))
        done = run_sync(spec, target, hub, "--log-format", "json")
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(line) for line in done.lines]

    def test_every_line_is_an_object_with_time_level_and_message(self, lines: list[Any]) -> None:
        for line in lines:
            check_log_line(line)
            assert line.keys() <= {"time", "level", "logger", "message"}
            assert line["level"] in ("info", "warning")

    def test_the_messages_are_those_of_the_contract(self, lines: list[Any]) -> None:
        messages = [line["message"] for line in lines]
        if "All models already complete!" in messages:
            assert messages == [*COMPLETE, "2.0 MiB on the volume, nothing fetched", "All models already complete!"]
        else:
            assert messages[:4] == [*INCOMPLETE, "Some models missing or incomplete, downloading..."]
            assert [line["level"] for line in lines if "503" in line["message"]] == ["warning"]


class Terminal:
    """A pseudo-terminal, and everything that was written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 160))  # a new one has no columns at all
        self._seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return self._seen.decode(errors="replace")

    def close(self) -> None:
        os.close(self.theirs)
        self._reader.join(timeout=10)
        os.close(self._ours)

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 65536):
                self._seen += data
        except OSError:
            return  # the last writer left


BAR = re.compile(r"\d+%\|.*\| [\d.]+[kMG]?/[\d.]+[kMG]? .*\d [KM]?i?B/s, [\dms.]+ left")
SLOW = Fault("slow", match=("blob",), bytes_per_second=700_000)


class TestProgress:
    @pytest.fixture
    def terminal(self) -> Iterator[Terminal]:
        terminal = Terminal()
        yield terminal
        terminal.close()

    def test_on_a_terminal_a_bar_shows_rate_and_time_left(
        self, terminal: Terminal, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        hub.add_fault(SLOW)
        process = start_sync(spec, volume, hub, stderr=terminal.theirs)
        stdout, _ = process.communicate(timeout=50)
        assert process.returncode == 0
        assert BAR.search(terminal.text), terminal.text
        assert "\r" not in stdout
        assert stdout.splitlines()[:4] == [*INCOMPLETE, "Some models missing or incomplete, downloading..."]

    def test_lines_and_bar_on_one_terminal_do_not_run_into_each_other(
        self, terminal: Terminal, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        hub.add_fault(SLOW)
        process = start_sync(spec, volume, hub, stdout=terminal.theirs, stderr=terminal.theirs)
        assert process.wait(timeout=50) == 0
        eventually(lambda: "All models complete" in terminal.text, "the last line")
        assert BAR.search(terminal.text)
        lines = [line.rpartition("\r")[2] for line in terminal.text.split("\r\n")]
        assert lines[:3] == INCOMPLETE
        assert "base/weights.safetensors: verified and in place (1.0 MiB)" in lines

    @pytest.mark.parametrize("arguments", [(), ("--log-format", "json")], ids=["no terminal", "JSON on a terminal"])
    def test_elsewhere_there_is_no_bar(
        self, arguments: tuple[str, ...], terminal: Terminal, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        hub.add_fault(SLOW)
        stderr = terminal.theirs if arguments else subprocess.PIPE
        process = start_sync(spec, volume, hub, *arguments, stderr=stderr)
        _, printed = process.communicate(timeout=50)
        assert process.returncode == 0
        assert not printed
        assert terminal.text == ""

    def test_nothing_to_do_needs_no_bar(self, terminal: Terminal, spec: dict[str, Any], whole: Path) -> None:
        process = start_sync(spec, whole, stderr=terminal.theirs)
        process.communicate(timeout=50)
        assert process.returncode == 0
        assert terminal.text == ""


def required(path: str, size: int) -> Requirement:
    """A model that needs this file."""
    model = parse_manifest(json.dumps(one_model()), "c").models[0]
    file = RequiredFile(path, path, model.repo, "main", size, "sha256:" + "0" * 64)
    return Requirement(model, {model.revision: "main"}, (file,))


class TestLinesNowAndThen:
    @pytest.fixture
    def clock(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def tracker(self, clock: list[float]) -> Progress:
        tracker = Progress(parse_manifest(json.dumps(one_model()), "c"), clock=lambda: clock[0])
        check = ModelCheck(tracker.manifest.models[0], Reason.FILE_MISSING)
        tracker.checked({"base": check})
        tracker.planned([required("base/a", 100 << 20)])
        return tracker

    @staticmethod
    def fetch(tracker: Progress, clock: list[float], seconds: int) -> None:
        """One MiB each second."""
        for _ in range(seconds):
            clock[0] += 1
            tracker.present(("base/a",), 1 << 20)
            tracker.received(1 << 20, "base/a")

    def test_a_line_shows_share_rate_time_left_and_what_is_fetched(self, tracker: Progress, clock: list[float]) -> None:
        self.fetch(tracker, clock, 40)
        assert progress_line(tracker) == "40% (40.0 MiB of 100 MiB), 1.0 MiB/s, 1m00s left: base/a"

    def test_a_transfer_that_stands_still_has_no_rate_and_no_time_left(
        self, tracker: Progress, clock: list[float]
    ) -> None:
        self.fetch(tracker, clock, 40)
        clock[0] += 60
        assert progress_line(tracker) == "40% (40.0 MiB of 100 MiB), 0 B/s: base/a"

    def test_verifying_says_how_much_was_read(self, tracker: Progress) -> None:
        tracker.hashed(3 << 20)
        assert progress_line(tracker) == "Verifying: 3.0 MiB read so far"

    def test_lines_come_while_something_changes_and_not_twice_the_same(
        self, tracker: Progress, clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(progress_display, "LINE_EVERY_S", 0.01)
        caplog.set_level(logging.INFO, logger="init_sync")
        looks = 0

        def report() -> Report:
            nonlocal looks
            looks += 1
            return Progress.report(tracker)

        monkeypatch.setattr(tracker, "report", report)
        lines = ProgressDisplay(tracker, on_terminal=False)
        self.fetch(tracker, clock, 10)
        lines.start()
        try:
            eventually(lambda: looks >= 4, "four looks at the same state")
            self.fetch(tracker, clock, 10)
            eventually(lambda: any("20%" in each for each in caplog.messages), "a line for the new state")
        finally:
            lines.stop()
        assert sum("10%" in each for each in caplog.messages) == 1
        assert all(re.search(r"\d%.*MiB/s", each) for each in caplog.messages)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_the_terminal_cannot_show_costs_no_line(log_format: str) -> None:
    program = "\n".join(
        [
            "import logging",
            "from init_sync.shell.log_settings import LogSettings",
            "from init_sync.shell.logs import set_up",
            f"set_up(LogSettings(log_format={log_format!r}), 'init_sync')",
            r"logging.getLogger('init_sync').info('a name: %s', 'w\u00f6rter \ud800')",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert ("a name: w\\u00f6rter " if log_format == "json" else "a name: w\\xf6rter ") in done.stdout
    assert "ud800" in done.stdout


@pytest.mark.parametrize(("level", "lines"), [("warning", 0), ("info", 5)])
def test_less_than_the_level_that_is_set_is_not_said(level: str, lines: int, spec: dict[str, Any], whole: Path) -> None:
    done = run_sync(spec, whole, None, "--log-level", level)
    assert (done.returncode, len(done.lines)) == (0, lines)
