"""A variable that cannot work: told at once when the hub is needed, and no matter when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.sync import run_sync

SECRET = "pa55word-of-another-program"
READ = ("HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")
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


@pytest.mark.parametrize("value", [SECRET, f"http://127.0.0.1:9/{SECRET}", f"http://user:{SECRET}@127.0.0.1:9"])
@pytest.mark.parametrize("name", [*READ, "POD_NAME", "HOSTNAME"])
def test_no_value_is_repeated_in_logs_in_the_report_or_on_the_volume(
    name: str, value: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    """A manifest can take it from any Secret of its namespace."""
    volume = tmp_path / "empty"
    volume.mkdir()
    result = run_sync(spec, volume, None, "--give-up-after", "0.1", env={name: value})
    assert result.returncode in (1, 2)
    written = [path.read_text() for path in volume.rglob("*") if path.is_file()]
    assert written, "the lock"
    assert SECRET not in "".join([result.stdout, result.stderr, str(result.report), *written])


def test_a_complete_volume_starts_all_the_same(spec: dict[str, Any], whole: Path) -> None:
    result = run_sync(spec, whole, None, env=WRONG)
    assert result.returncode == 0
    assert "All models already complete!" in result.stdout
