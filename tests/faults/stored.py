"""``owner/stored`` on the hub, and what a refusal to put it on a volume looks like."""

from __future__ import annotations

import random
from collections.abc import Mapping

from support.hub import LocalHub
from support.sync import Result, environment, manifest, model

MIB = 1 << 20
FILES = {
    "config.json": b"{}\n",
    "shard-1.safetensors": random.Random(1).randbytes(5 * MIB),
    "shard-2.safetensors": random.Random(2).randbytes(3 * MIB),
}
SIZE = sum(map(len, FILES.values()))
SPEC = manifest(model("m", "owner/stored"))
WHOLE = {f"m/{path}": content for path, content in FILES.items()}


def refused(result: Result, code: int, *words: str) -> None:
    """One clear line, and the exit code."""
    assert result.returncode == code, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("init-sync: error: ")
    for word in words:
        assert word in line


def nowhere(hub: LocalHub) -> Mapping[str, str]:
    places = ("HOME", "TMPDIR", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")
    return {**environment(hub), **dict.fromkeys(places, "/nonexistent/place")}
