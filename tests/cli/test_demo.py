"""`make demo` shows what it says it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "support" / "demo.py"


def test_the_demo_shows_a_first_sync_a_warm_start_and_the_repair_of_one_shard() -> None:
    shown = subprocess.run([sys.executable, str(DEMO)], capture_output=True, text=True, timeout=55)

    assert shown.returncode == 0, shown.stdout + shown.stderr
    first, second, third = (part.split("(took", 1)[0] for part in shown.stdout.split("$ init-sync sync")[1:4])
    assert "Some models missing or incomplete, downloading..." in first
    assert second.endswith("All models already complete!\n")
    assert "(requests to the hub: 0)" in shown.stdout
    assert third.count("verified and in place") == 1, "just the damaged shard"
    assert "3 of 3 models" in shown.stdout
