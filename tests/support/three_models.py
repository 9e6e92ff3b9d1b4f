"""Caches that several tests begin with: three models shaped like the first workload, on the hub and on a volume."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from support.hub import LocalHub, RepoBuilder
from support.sync import manifest, model, run_sync

LARGE = bytes(range(256)) * 4096
"""One MiB: stored apart from the hub's small files."""


def three_models(hub_root: Path) -> dict[str, Any]:
    """Put three repositories on the hub, one with its weights on a pull request only; the manifest for them."""
    RepoBuilder(hub_root, "owner/base").commit(
        {"config.json": b"{}\n", "weights.safetensors": LARGE, "index.json": b"[]"}
    )
    wav2vec = RepoBuilder(hub_root, "owner/wav2vec")
    wav2vec.commit({"config.json": b"{}\n", "pytorch_model.bin": LARGE[:1000]})
    wav2vec.commit({"config.json": b"{}\n", "model.safetensors": LARGE[::-1]}, ref="refs/pr/1")
    RepoBuilder(hub_root, "owner/multitalk").commit({"index.json": b'{"more": 1}'})
    alternatives = [
        {"file": "model.safetensors"},
        {"file": "model.safetensors", "revision": "refs/pr/1"},
        {"file": "pytorch_model.bin"},
    ]
    return manifest(
        model("base", "owner/base", displayName="Base model"),
        model("wav2vec", "owner/wav2vec", displayName="Wav2vec model", include=["config.json"], oneOf=alternatives),
        model(
            "multitalk",
            "owner/multitalk",
            displayName="MultiTalk weights",
            links=[{"file": "index.json", "at": "base/index.json"}],
        ),
    )


def complete(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    """Make the volume complete, and forget the requests that this took."""
    done = run_sync(spec, volume, hub)
    assert done.returncode == 0, done.stderr
    hub.reset_log()


def footprint(root: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below ``root`` with its kind, size and time: whether anybody touched anything."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in (".", *folders, *names):
            state = os.lstat(os.path.join(folder, name))
            found[os.path.relpath(os.path.join(folder, name), root)] = (state.st_mode, state.st_size, state.st_mtime_ns)
    return found
