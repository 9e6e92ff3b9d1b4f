"""A variable that cannot work: told at once when the hub is needed, and no matter when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.sync import run_sync

WRONG = {"HF_ENDPOINT": "hub.example", "ALL_PROXY": "socks5://127.0.0.1:9"}


def test_a_sync_that_needs_the_hub_ends_at_once_with_2_and_a_line(spec: dict[str, Any], tmp_path: Path) -> None:
    volume = tmp_path / "empty"
    volume.mkdir()
    result = run_sync(spec, volume, None, env=WRONG)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert "hub.example" not in result.stdout + result.stderr, "it may come from a Secret"
    assert "HF_ENDPOINT is no URL of a hub; give a URL" in result.stderr
    assert "ALL_PROXY names something else than an http:// proxy" in result.stderr


def test_a_complete_volume_starts_all_the_same(spec: dict[str, Any], whole: Path) -> None:
    result = run_sync(spec, whole, None, env=WRONG)
    assert result.returncode == 0
    assert "All models already complete!" in result.stdout
