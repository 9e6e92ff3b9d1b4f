"""The size of the engine's reads and writes: 1 MiB writes were measured at a quarter of the speed of 256 KiB ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from support.hub import LocalHub
from support.outages import MIB, content, whole_files
from support.sync import command, environment

NOTING_WRITES = """
import os, sys
sizes, pwrite = [], os.pwrite
def noted(descriptor, data, position):
    sizes.append(len(data))
    return pwrite(descriptor, data, position)
os.pwrite = noted
from init_sync.app.cli import run
code = run(sys.argv[1:])
print("largest", max(sizes), "at 256 KiB", sizes.count(256 * 1024))
sys.exit(code)
"""
"""The command, with a note of every write at its end."""


def test_a_large_file_is_written_in_blocks_of_256_kib(large_spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    arguments = command("sync", large_spec, volume)[3:]

    done = subprocess.run(
        [sys.executable, "-c", NOTING_WRITES, *arguments], env=environment(hub), capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert whole_files(volume, {"large/weights.safetensors": content(24 * MIB)}) == {"large/weights.safetensors": True}
    assert done.stdout.splitlines()[-1] == "largest 262144 at 256 KiB 96"
