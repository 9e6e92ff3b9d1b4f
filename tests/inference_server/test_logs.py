"""The log of a whole life, in text and in JSON: events of the server, of libraries, warnings."""

from __future__ import annotations

import json
from pathlib import Path

from inference_server.process import ServerProcess
from support.log_schema import check_log_line


def life(folder: Path, *flags: str) -> list[str]:
    process = ServerProcess(folder, *flags)
    try:
        process.wait_ready()
        process.signal()
        assert process.exit_code() == 0
    finally:
        process.close()
    return process.log


def test_text_is_the_default(tmp_path: Path) -> None:
    log = life(tmp_path)
    assert 'loading component="video autoencoder" bytes=2' in log
    assert "warning: two lines\\nfrom elsewhere" in log
    assert [line for line in log if line.startswith("warning: ") and "old tensors" in line]
    assert log[-1] == "stopped"


def test_every_line_of_json_is_as_specified(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in life(tmp_path, "--log-format", "json")]
    for line in lines:
        check_log_line(line)
    said = {line["message"]: line for line in lines}
    assert said["loading"]["component"] == "video autoencoder"
    assert said["loading"]["bytes"] == 2
    assert said["two lines\nfrom elsewhere"]["logger"] == "library"
    assert said["listening"]["url"].startswith("http://127.0.0.1:")


def test_less_than_the_level_that_is_set_is_not_said(tmp_path: Path) -> None:
    process = ServerProcess(tmp_path, "--log-level", "warning")
    try:
        process.wait_for_log("old tensors")
        process.signal()
        assert process.exit_code() == 0
    finally:
        process.close()
    assert [line for line in process.log if not line.startswith("warning: ")] == []
